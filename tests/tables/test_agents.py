"""A table of agents on an environment, by the same build: rows, order, resume, query, search, refusals."""

import dataclasses
from pathlib import Path

import numpy as np
import pytest

import metabench
from metabench.errors import ArgumentError, DefinitionError
from metabench.metarl.presets import preset
from metabench.spaces import load_space
from metabench.spaces.architecture import Architecture
from metabench.tables import build_table
from metabench.tables.agent_task import is_agent_task, load_table_task
from metabench.tables.agent_units import agent_settings, measure_agent, train_agent
from metabench.tables.build import _units
from metabench.tables.units import row_key

SPACE = """id = "tiny-agents"
description = "Two cells, two bodies."
stages = 2
width = 8
kind = "agent"
blocks = ["gru", "mlp.deq"]
"""
TASK = """id = "tiny-grid"
kind = "environment"
description = "A small grid."
environment = "grid-navigation"
[parameters]
size = 5
horizon = 5
episodes = 2
[[reference]]
unit = "best"
command = "made up"
[reference.returns]
random = -1.0
best = 4.0
[training]
agent = "varibad"
frames = 80
checkpoints = [40, 80]
replicates = 2
[training.settings]
copies = 4
eval_copies = 6
reward_decoder = "cell"
buffer = 20
vae_batch = 3
vae_updates = 1
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "space.toml").write_text(SPACE)
    (tmp_path / "task.toml").write_text(TASK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_whole_way(own: Path) -> None:
    home = own / "surrogates" / "tiny-agents"
    first = build_table("./space.toml", ["./task.toml"], workers=1, out=home)
    assert (first.planned, first.done_before, first.trained) == (8, 0, 8)
    before = np.load(home / "table" / "results.npy").tobytes()
    next((home / "shards" / "tiny-grid").glob("*.npz")).unlink()
    again = build_table("./space.toml", ["./task.toml"], workers=1, out=home)
    assert (again.done_before, again.trained) == (7, 1)
    assert np.load(home / "table" / "results.npy").tobytes() == before
    benchmark = metabench.open("./space.toml:./task.toml")
    assert (benchmark.epochs, benchmark.seeds) == ((40, 80), (0, 1))
    found = benchmark.query("mlp.deq,gru", epoch=80, seed=1)
    values, _ = train_agent(Architecture(("mlp.deq", "gru")), load_table_task("./task.toml"), 8, 1)
    assert found.test_score == values[1, 2]
    assert found.nfe_forward == values[1, 3] > 2 == benchmark.query("gru,gru").nfe_forward  # a step each
    assert benchmark.best(1)[0].val_score == max(benchmark.query(code).val_score for code in range(4))


def test_scores_are_returns_over_the_best(own: Path) -> None:
    """No return of ten steps is above 10 or below -1, so none is a larger fraction of 4."""
    values, seconds = train_agent(Architecture(("gru", "gru")), load_table_task("./task.toml"), 8, 0)
    assert values.shape == (2, 7)
    assert seconds[1] > seconds[0] > 0
    assert (values[:, 1:3] >= -0.25 - 1e-6).all()
    assert (values[:, 1:3] <= 2.5).all()
    assert np.isfinite(values).all()


def test_costs_count_what_is_trained(own: Path) -> None:
    """By hand, for width 8: embeddings, memory cell, heads, decoder, actor and critic with their blocks."""
    task = load_table_task("./task.toml")
    cost = measure_agent(Architecture(("gru", "gru")), task, 8)
    embeddings = (5 * 16 + 16) + (2 * 32 + 32) + (1 * 16 + 16)
    memory = 3 * 8 * (8 + 64) + 2 * 3 * 8
    heads = 2 * (8 * 5 + 5)
    decoder = (5 * 32 + 32) + (32 * 32 + 32) + (32 * 25 + 25)
    block = 2 * 3 * 32 * 32 + 3 * 32
    body = (2 + 5 + 5) * 32 + 32 + block
    assert cost.params == embeddings + memory + heads + decoder + 2 * body + (32 * 5 + 5) + (32 + 1)
    assert cost.flops > 0
    assert cost.activation_bytes > 0
    assert cost.latency_s > 0


def test_an_early_end_leaves_whole_sets_of_memory_cells(tmp_path: Path) -> None:
    space, task = load_space("memory-v1"), load_table_task("grid-navigation-v0")
    units, missing, planned = _units(space, [task], 3, tmp_path, 27, "cpu")
    assert missing == planned == len(units) == 169 * 3
    first = units[: 13 * 3]
    assert {unit.architectures[0].blocks[1] for unit in first} == {space.blocks[0]}
    assert [unit.seeds for unit in first] == [(seed,) for seed in range(3) for _ in range(13)]
    assert [unit.architectures[0].blocks[0] for unit in first[:13]] == list(space.blocks)


def test_a_rows_address_depends_on_the_agents_settings() -> None:
    task, pair = load_table_task("grid-navigation-v0"), Architecture(("gru", "gru"))
    assert is_agent_task(task)
    assert not is_agent_task(load_table_task("mnist1d-v1"))
    other = {**task.parameters, "settings": {**task.parameters["settings"], "clip": 0.3}}
    changed = dataclasses.replace(task, parameters=other)
    assert row_key(pair, task, 64, 0) != row_key(pair, changed, 64, 0)
    settings = agent_settings(Architecture(("gated.ode", "mlp.deq")), task, 64)
    assert (settings.memory_cell, settings.policy_body, settings.memory_width) == ("gated.ode", "mlp.deq", 64)
    assert settings.reward_decoder == preset("varibad", "grid-navigation-v0").reward_decoder == "cell"


def test_a_memory_cell_alone_leaves_the_policy_as_it_is() -> None:
    space, task = load_space("memory1-v1"), load_table_task("grid-navigation-v0")
    assert space.blocks == load_space("memory-v1").blocks
    settings = agent_settings(space.architecture(space.blocks.index("mlp.deq")), task, space.width)
    assert (settings.memory_cell, settings.policy_body, settings.memory_width) == ("mlp.deq", "skip", 64)
    with pytest.raises(ArgumentError, match="one or two blocks"):
        agent_settings(Architecture(("gru", "gru", "gru")), task, 64)


def test_refusals(own: Path) -> None:
    with pytest.raises(ArgumentError, match="task 'mnist1d-v1' is a data set; space 'memory-v1' is of agents"):
        build_table("memory-v1", ["mnist1d-v1"], dry_run=True)
    with pytest.raises(ArgumentError, match="'grid-navigation-v0' is an environment, not a data set"):
        build_table("cells2-v1", ["grid-navigation-v0"], dry_run=True)
    with pytest.raises(ArgumentError, match="name the environment"):
        build_table("memory-v1", dry_run=True)
    with pytest.raises(ArgumentError, match=r"'bandit-v0' has no \[training\]"):
        build_table("memory-v1", ["bandit-v0"], dry_run=True)
    (own / "task.toml").write_text(TASK.replace("[40, 80]", "[40, 60]"))
    with pytest.raises(DefinitionError, match=r"'checkpoints' is .*; expected ascending frames, the last one 80"):
        load_table_task("./task.toml")
    (own / "task.toml").write_text(TASK.replace("[40, 80]", "[50, 80]"))
    with pytest.raises(ArgumentError, match="multiples of one update's 40 frames"):
        train_agent(Architecture(("gru", "gru")), load_table_task("./task.toml"), 8, 0)
