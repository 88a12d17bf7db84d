"""A joint space from made-up trainings to a surrogate, queries, searches and a card."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metabench
from metabench.analysis.surrogate_card import surrogate_card
from metabench.cli.main import main
from metabench.datasets import load_task
from metabench.errors import ArchitectureError, ArgumentError, MissingResultError, QueryError, TableError
from metabench.spaces import JointSpace, load_space
from metabench.surrogate import Settings
from metabench.tables import JointBenchmark
from metabench.tables.joint_data import hyperparameter_names, joint_measurements, surrogate_inputs
from metabench.tables.joint_units import joint_key, joint_task
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS
from metabench.tables.shards import Shard, write_shard
from metabench.testing.joint import TINY_JOINT

TASK = """id = "made-up-task"
description = "Never trained, but for one query: its rows are made up."
dataset = "spirals"
metric = "accuracy"
[parameters]
samples = 300
arms = 3
turns = 2.5
noise = 0.03
seed = 0
[splits]
train = 100
val = 100
test = 100
[protocol]
epochs = 4
batch_size = 20
checkpoints = [1, 2, 4]
[protocol.learning_rate]
default = 0.01
"""
NAMES = "./space.toml:./task.toml"
SAMPLES, NOISE = 300, 0.01


def truth(space: JointSpace, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Made-up scores and evaluations: a parabola in the learning rate, amounts of blocks, more NFE if tighter."""
    scores, evaluations = [], []
    for code in codes.tolist():
        a = space.architecture(code)
        rate = np.log10(a.learning_rate)
        blocks = {"mlp.residual": 0.0, "mlp.deq": 0.05, "mlp.ode": 0.1}
        scores.append(0.5 - 0.1 * (rate + 2) ** 2 + sum(blocks[b] for b in a.blocks) + 0.03 * a.width)
        evaluations.append(a.depth * (2.0 - np.log10(a.tolerance) if a.tolerance else 1.0))
    return np.array(scores), np.array(evaluations)


def parameters(space: JointSpace, code: int) -> float:
    """Weights of a network of 2 inputs and 3 classes, by hand: every block is one MLP cell."""
    a = space.architecture(code)
    return a.depth * (2 * a.width**2 + a.width) + (2 * a.width + a.width) + (3 * a.width + 3)


def write_rows(space: JointSpace, home: Path, numbers: list[int], seeds: list[int]) -> None:
    task = joint_task(space, load_task("./task.toml"))
    codes = np.array(list(dict.fromkeys(space.sample(i) for i in numbers)))
    architectures = [space.architecture(code) for code in codes.tolist()]
    scores, evaluations = truth(space, codes)
    noise = np.random.default_rng(seeds[0]).normal(0, NOISE, (len(codes), len(seeds), 1))
    growth = np.array([0.5, 0.8, 1.0])
    values = np.zeros((len(codes), len(seeds), 3, len(TRAINING_METRICS)), dtype=np.float32)
    for metric in ("val_score", "test_score"):
        values[..., TRAINING_METRICS.index(metric)] = scores[:, None, None] * growth + noise
    values[..., TRAINING_METRICS.index("train_loss")] = 1.0
    values[..., TRAINING_METRICS.index("nfe_forward")] = evaluations[:, None, None]
    costs = np.array(
        [
            [parameters(space, code), 10.0 * n, 4.0 * n, 1e-3]
            for code, n in zip(codes.tolist(), evaluations, strict=True)
        ]
    )
    shard = Shard(
        task=task.id,
        keys=[[joint_key(a, task, seed) for seed in seeds] for a in architectures],
        architectures=[json.dumps(a.as_dict()) for a in architectures],
        seeds=seeds,
        epochs=list(task.epochs),
        metrics=list(TRAINING_METRICS),
        costs=list(ARCHITECTURE_METRICS),
        values=values,
        seconds=np.broadcast_to(0.1 * evaluations[:, None, None] * growth, values.shape[:3]).astype(np.float32),
        cost=costs,
        provenance={"commit": "made up"},
    )
    write_shard(home, shard)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with finished trainings of 300 sampled configurations, every second with a second seed."""
    folder, before = tmp_path_factory.mktemp("home"), Path.cwd()
    (folder / "space.toml").write_text(TINY_JOINT)
    (folder / "task.toml").write_text(TASK)
    os.chdir(folder)
    space = load_space("./space.toml")
    assert isinstance(space, JointSpace)
    write_rows(space, folder / "surrogates/tiny-joint", list(range(SAMPLES)), [0])
    write_rows(space, folder / "surrogates/tiny-joint", list(range(0, SAMPLES, 2)), [1])
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def bench(home: Path) -> JointBenchmark:
    with pytest.raises(
        TableError,
        match=r"no fitted surrogate here .*metabench fit tiny-joint --tasks made-up-task', or use kind='live'\.",
    ):
        metabench.open(NAMES, kind="surrogate")
    fit = ["fit", "./space.toml", "--tasks", "./task.toml", "--out", "surrogates/tiny-joint", "--model", "lightgbm"]
    assert main(fit) == 0
    found = metabench.open(NAMES, kind="surrogate")
    assert isinstance(found, JointBenchmark)
    return found


def unseen(bench: JointBenchmark, n: int = 400) -> np.ndarray:
    seen = {bench.space_definition.sample(i) for i in range(SAMPLES)}
    return np.array([code for code in np.unique(bench.sample(n, 5)).tolist() if code not in seen])


def test_what_a_surrogate_is_told(home: Path) -> None:
    space = load_space("./space.toml")
    assert isinstance(space, JointSpace)
    text = (
        "mlp.residual,mlp.ode width=8 learning_rate=0.01 weight_decay=0.001 ode_solver=dopri5 ode_adjoint=backprop "
        "tolerance=0.1"
    )
    digits, numbers, widths = surrogate_inputs(
        space,
        np.array(
            [
                space.code(text),
                space.code(
                    "mlp.deq width=4 learning_rate=0.1 weight_decay=1 fixed_point_solver=anderson "
                    "fixed_point_adjoint=jfb tolerance=0.01"
                ),
            ]
        ),
    )
    assert digits.tolist() == [[1, 3], [2, 0]]  # skip, mlp.residual, mlp.deq, mlp.ode
    assert widths.tolist() == [8, 4]
    found = [dict(zip(hyperparameter_names(space), row, strict=True)) for row in numbers.tolist()]
    assert found[0]["learning_rate"] == pytest.approx(0.5)
    assert (found[0]["width"], found[1]["width"], found[1]["learning_rate"]) == (1, 0, 1)
    assert (found[0]["ode_solver=dopri5"], found[0]["ode_solver=euler"], found[1]["ode_solver=dopri5"]) == (1, 0, 0)
    assert np.isnan([row["ode_steps"] for row in found]).all()
    assert [row["tolerance"] for row in found] == pytest.approx([1, 0.5])


def test_measurements_are_what_was_written_and_stale_rows_are_left_out(home: Path, monkeypatch: Any) -> None:
    space = load_space("./space.toml")
    assert isinstance(space, JointSpace)
    task = joint_task(space, load_task("./task.toml"))
    codes, data = joint_measurements(space, task, home / "surrogates/tiny-joint")
    assert sorted({space.sample(i) for i in range(SAMPLES)}) == codes.tolist()
    scores, _ = truth(space, codes)
    np.testing.assert_allclose(data.values[:, 0, -1, data.metrics.index("test_score")], scores, atol=5 * NOISE)
    twice = {space.sample(i) for i in range(0, SAMPLES, 2)}
    assert (~np.isnan(data.values[:, 1, 0, 1])).tolist() == [code in twice for code in codes.tolist()]
    import metabench.blocks.lifts as lifts

    monkeypatch.setattr(lifts.MLPDEQ, "version", 99)
    codes, _ = joint_measurements(space, task, home / "surrogates/tiny-joint")
    assert 0 < len(codes) < SAMPLES
    assert all("mlp.deq" not in space.architecture(code).blocks for code in codes.tolist())
    with pytest.raises(
        TableError, match=r"no finished training of spirals-v1; run 'metabench build --space tiny-joint"
    ):
        joint_measurements(space, load_task("spirals-v1"), home / "surrogates/tiny-joint")


def test_the_surrogate_knows_configurations_that_it_has_not_seen(bench: JointBenchmark) -> None:
    codes = unseen(bench)
    scores, evaluations = truth(bench.space_definition, codes)
    found = bench.query_batch(codes, metrics=("test_score", "nfe_forward", "params", "flops"))
    assert np.corrcoef(found[:, 0], scores)[0, 1] > 0.95
    assert np.corrcoef(found[:, 1], evaluations)[0, 1] > 0.95
    assert found[:, 2].tolist() == [parameters(bench.space_definition, code) for code in codes.tolist()]  # counted
    assert np.median(np.abs(found[:, 3] / (10 * evaluations) - 1)) < 0.1  # predicted
    early = bench.query_batch(codes, epoch=1)[:, 0]
    assert np.median(early / found[:, 0]) == pytest.approx(0.5, abs=0.05)


def test_queries_answer_as_those_of_a_table(bench: JointBenchmark) -> None:
    code = int(unseen(bench)[0])
    result = bench.query(code, epoch=2, seed=3)
    assert type(result) is metabench.Result
    architecture = bench.space_definition.architecture(code)
    assert (result.architecture, result.code, result.epoch, result.seed) == (architecture.blocks, code, 2, 3)
    assert {type(getattr(result, name)) for name in bench.metrics} == {float}
    configuration = bench.space_definition.configuration(code, bench.space)
    for name in (architecture, str(architecture), architecture.as_dict(), configuration):
        assert bench.query(name, epoch=2, seed=3) == result
    assert bench.provenance["kind"] == "surrogate"
    assert len(bench.query(code, seed="all")) == len(bench.seeds) == 10
    best = bench.best(3)
    assert [r.val_score for r in best] == sorted([r.val_score for r in best], reverse=True)
    assert best[0].val_score > np.quantile(bench.query_batch(unseen(bench), metrics=("val_score",)), 0.95)


def test_single_and_batch_agree_and_replicates_stray_as_they_should(bench: JointBenchmark) -> None:
    codes = unseen(bench)[:40]
    for seed in ("mean", 0, 9):
        batch = bench.query_batch(codes, seed=seed, metrics=bench.metrics)
        assert (batch.shape, batch.dtype) == ((len(codes), len(bench.metrics)), np.float32)
        for code, row in list(zip(codes, batch, strict=True))[::10]:
            one = bench.query(int(code), seed=seed)
            np.testing.assert_allclose([getattr(one, name) for name in bench.metrics], row, rtol=1e-5)
    seeds = np.arange(len(codes)) % 10
    mixed = bench.query_batch(codes, seed=seeds)[:, 0]
    np.testing.assert_array_equal(mixed[seeds == 4], bench.query_batch(codes[seeds == 4], seed=4)[:, 0])
    noisy = np.stack([bench.query_batch(codes, seed=s)[:, 0] for s in bench.seeds])
    assert 0.4 * NOISE < (noisy - bench.query_batch(codes)[:, 0]).std() < 2 * NOISE
    assert bench.query_batch([], seed=1).shape == (0, 1)
    np.testing.assert_array_equal(bench.sample(5, 1), bench.sample(5, 1))


def test_bad_questions_get_the_same_answers(bench: JointBenchmark) -> None:
    with pytest.raises(QueryError, match="epoch 3 is not recorded; the nearest is 2"):
        bench.query(0, epoch=3)
    with pytest.raises(QueryError, match="seed 10 is not in tiny-joint/made-up-task"):
        bench.query(0, seed=10)
    with pytest.raises(QueryError, match=r"unknown metric 'test_scor'\. Did you mean 'test_score'"):
        bench.query_batch([0], metrics=("test_scor",))
    with pytest.raises(ArchitectureError, match="expected 0 to"):
        bench.query_batch([bench.space_definition.size])
    with pytest.raises(QueryError, match="k=0"):
        bench.best(0)


def test_the_kinds_of_a_joint_benchmark(bench: JointBenchmark, home: Path) -> None:
    with pytest.raises(TableError, match=r"space 'tiny-joint' has no table: .*kind='surrogate', or with kind='live'"):
        metabench.open(NAMES)
    live = metabench.open(NAMES, kind="live")
    assert live.seeds == (0, 1, 2)
    with pytest.raises(MissingResultError, match="kind='surrogate'"):
        live.best()
    code = bench.space_definition.code("mlp.residual width=4 learning_rate=0.01 weight_decay=0.001")
    result = live.query(code, seed=1)
    assert type(result) is metabench.Result
    assert result.params == parameters(bench.space_definition, code)
    assert result.status.value == "ok"
    means = live.query_batch([code], metrics=("val_score",))[0, 0]
    assert means == pytest.approx(np.mean([r.val_score for r in live.query(code, seed="all")]), abs=1e-6)


def test_searchers_search_it(bench: JointBenchmark, home: Path) -> None:
    names = ["random", "regularized-evolution", "local-search", "hyperband"]
    report = metabench.search(names, bench, trials=20, seeds=2, out=home / "run", kind="surrogate")
    assert report.failed == 0
    assert {row.searcher for row in report.rows} == set(names)
    lines = (home / "run/tiny-joint/made-up-task/random/seed-000.jsonl").read_text().splitlines()
    trials = [json.loads(line) for line in lines]
    assert len({trial["code"] for trial in trials}) == len(trials) == 20  # each once
    for trial in trials:
        assert bench.space_definition.code(trial["architecture"]) == trial["code"]
        assert trial["train_seconds"] > 0
    again = metabench.search("random", bench, trials=20, seeds=2, out=home / "again", kind="surrogate")
    assert again.incumbents[0].code == next(i.code for i in report.incumbents if i.searcher == "random")
    metabench.report([home / "run"])


def test_smac_searches_its_conditions(bench: JointBenchmark, home: Path) -> None:
    report = metabench.search("smac", bench, trials=12, seeds=1, out=home / "smac", kind="surrogate")
    assert report.failed == 0
    assert report.incumbents[0].code is not None


@pytest.mark.parametrize("name", ["bananas", "greedy-portfolio", "tpe"])
def test_searchers_of_blocks_alone_are_refused(bench: JointBenchmark, home: Path, name: str) -> None:
    with pytest.raises(ArgumentError, match=f"{name} sees an architecture as its blocks alone"):
        metabench.search(name, bench, trials=5, seeds=1, out=home / "refused", kind="surrogate")


def test_the_card_on_the_command_line(bench: JointBenchmark, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["card", "./space.toml", "--tasks", "./task.toml", "--out", "surrogates/tiny-joint"]
    assert main([*words, "--searchers", "run", "--surrogates", "lightgbm"]) == 2
    assert "is not trained" in capsys.readouterr().err
    assert main(words) == 0
    page = capsys.readouterr().out
    assert "learning_rate" in page
    assert "ode_solver" in page
    card = json.loads((home / "surrogates/tiny-joint/card.json").read_text())["tasks"]["made-up-task"]
    by_name = {h["name"]: h for h in card["hyperparameters"]}
    rates = [part["test_score"] for part in by_name["learning_rate"]["bins"]]
    assert max(rates) == rates[2]  # the parabola's top is the middle of the range
    assert by_name["tolerance"]["nfe_forward_kendall_tau"] < -0.2
    assert by_name["width"]["test_score_kendall_tau"] > 0.1
    assert bench.space_definition.code(card["best"][0]["architecture"]) == card["best"][0]["code"]
    assert card["effects"] == []


def test_the_surrogates_card(bench: JointBenchmark, home: Path) -> None:
    _, measured = joint_measurements(bench.space_definition, bench.task, home / "surrogates/tiny-joint")
    fast = Settings(model="lightgbm", trees=20, leaves=8, members=3)
    card = surrogate_card(measured.of_metrics(("val_score", "test_score")), fast, k=3)
    last = card["cross_validation"]["last_epoch"]["test_score"]
    assert last["r2"] > 0.9
    assert last["r2_ceiling"] > 0.9
    assert {"residual", "deq", "ode"} == set(card["leave_family_out"])
    assert [point["train"] for point in card["learning_curve"]][:2] == [50, 100]
    errors = card["one_seed"]["mean_absolute_error"]
    # Two seeds differ by a normal number of deviation sqrt(2) NOISE, whose mean size is 2 / sqrt(pi) NOISE.
    assert errors["table"] == pytest.approx(2 / np.sqrt(np.pi) * NOISE, rel=0.2)
    assert errors["surrogate_seen"] < errors["surrogate_unseen"]


def test_a_query_on_the_command_line(bench: JointBenchmark, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = "mlp.residual width=4 learning_rate=0.01 weight_decay=0.001"
    assert main(["query", NAMES, "--arch", text, "--kind", "surrogate"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{text}  on tiny-joint/made-up-task (surrogate)")
    assert main(["query", NAMES, "--best", "2", "--kind", "surrogate"]) == 0
    assert "width=" in capsys.readouterr().out
    assert main(["query", NAMES, "--best", "2"]) == 2
    assert "has no table" in capsys.readouterr().err


def test_another_spaces_surrogate_is_refused(bench: JointBenchmark, home: Path) -> None:
    (home / "other.toml").write_text(TINY_JOINT.replace('"anderson"', '"broyden"'))
    with pytest.raises(TableError, match="fitted to another 'tiny-joint'"):
        metabench.open("./other.toml:./task.toml", kind="surrogate")
