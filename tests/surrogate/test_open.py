"""From a packed table to a fitted surrogate to queries: the command line, and the kinds of a benchmark side by side."""

import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

import metabench
from metabench.cli.main import main
from metabench.datasets import load_task
from metabench.errors import QueryError, TableError
from metabench.spaces import load_space
from metabench.tables import pack_table
from metabench.tables.benchmark import Benchmark
from metabench.tables.fitted import space_digits
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS
from metabench.tables.shards import Shard, write_shard
from metabench.tables.units import row_key
from metabench.testing.synthetic import synthetic_table

SPACE = """id = "made-up"
description = "Three stages, four blocks."
stages = 3
width = 8
blocks = ["skip", "mlp.residual", "mlp.deq", "qp.box"]
"""
TASK = """id = "made-up-task"
description = "Never trained: its rows are made up."
dataset = "mnist1d"
metric = "accuracy"
[parameters]
samples = 400
[splits]
train = 200
val = 100
test = 100
[protocol]
epochs = 4
batch_size = 50
checkpoints = [1, 2, 4]
[protocol.learning_rate]
default = 0.01
"""
NAMES = "./space.toml:./task.toml"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A working directory with a packed table of all 40 architectures but one."""
    folder, before = tmp_path_factory.mktemp("home"), Path.cwd()
    (folder / "space.toml").write_text(SPACE)
    (folder / "task.toml").write_text(TASK)
    os.chdir(folder)
    space, task = load_space("./space.toml"), load_task("./task.toml")
    made = synthetic_table(
        space_digits(space, space.canonical_codes), space.blocks, task.epochs, noise_sd=0.01
    ).measured
    architectures = [space.architecture(int(code)) for code in space.canonical_codes][:-1]
    shard = Shard(
        task=task.id,
        keys=[[row_key(a, task, space.width, seed) for seed in range(3)] for a in architectures],
        architectures=[str(a) for a in architectures],
        seeds=[0, 1, 2],
        epochs=list(task.epochs),
        metrics=list(TRAINING_METRICS),
        costs=list(ARCHITECTURE_METRICS),
        values=made.values[:-1, ..., :-1].astype(np.float32),
        seconds=made.values[:-1, ..., -1].astype(np.float32),
        cost=made.costs[:-1],
        provenance={"commit": "made up"},
    )
    write_shard(folder / "surrogates" / "made-up", shard)
    pack_table("./space.toml", ["./task.toml"], out=folder / "surrogates" / "made-up")
    yield folder
    os.chdir(before)


@pytest.fixture(scope="module")
def fitted(home: Path) -> Benchmark:
    with pytest.raises(TableError, match=r"no fitted surrogate here .*metabench fit made-up --tasks made-up-task"):
        metabench.open(NAMES, kind="surrogate")
    assert main(["fit", "./space.toml", "--tasks", "./task.toml", "--out", "surrogates/made-up"]) == 0
    return metabench.open(NAMES, kind="surrogate")


def test_the_kinds_agree_in_types_and_nearly_in_values(fitted: Benchmark) -> None:
    table = metabench.open(NAMES)
    codes = table.space_definition.canonical_codes[:-1]
    for query in ({"seed": "mean"}, {"seed": 1}, {"seed": 1, "epoch": 2}):
        measured, predicted = table.query(int(codes[7]), **query), fitted.query(int(codes[7]), **query)
        assert type(measured) is type(predicted)
        for name in ("architecture", "code", "epoch", "seed", "status"):
            assert getattr(measured, name) == getattr(predicted, name)
        assert {type(getattr(predicted, name)) for name in fitted.metrics} == {float}
        one, other = (b.query_batch(codes, metrics=b.metrics, **query) for b in (table, fitted))
        assert (one.shape, one.dtype) == (other.shape, other.dtype)
    score = [b.query_batch(codes)[:, 0] for b in (table, fitted)]
    assert np.corrcoef(*score)[0, 1] > 0.9
    params = [b.query_batch(codes, metrics=("params",))[:, 0] for b in (table, fitted)]
    np.testing.assert_allclose(*params, rtol=1e-4)
    assert (table.epochs, table.metrics) == (fitted.epochs, fitted.metrics)
    assert fitted.provenance["kind"] == "surrogate"
    assert len(fitted.query(3, seed="all")) == len(fitted.seeds) == 10
    assert [type(r) for r in fitted.best(3)] == [metabench.Result] * 3


def test_it_answers_what_the_table_lacks(fitted: Benchmark) -> None:
    code = int(fitted.space_definition.canonical_codes[-1])
    with pytest.raises(QueryError, match="is not in the table yet"):
        metabench.open(NAMES).query(code)
    assert 0 < fitted.query(code).test_score < 1


def test_single_and_batch_agree_and_mean_is_the_prediction(fitted: Benchmark) -> None:
    fresh = metabench.open(NAMES, kind="surrogate")
    codes = fresh.space_definition.canonical_codes
    for seed in ("mean", 0, 9):
        batch = fresh.query_batch(codes, seed=seed, metrics=fresh.metrics)
        for code, row in list(zip(codes, batch, strict=True))[::5]:
            result = fitted.query(int(code), seed=seed)
            np.testing.assert_allclose([getattr(result, m) for m in fresh.metrics], row, rtol=1e-5)
    noisy = np.stack([fresh.query_batch(codes, seed=s)[:, 0] for s in fresh.seeds])
    mean = fresh.query_batch(codes)[:, 0]
    assert 0.004 < (noisy - mean).std() < 0.02  # noise of 0.01 was put in
    assert abs((noisy - mean).mean()) < 0.002


def test_bad_questions_get_the_same_answers(fitted: Benchmark) -> None:
    with pytest.raises(QueryError, match="epoch 3 is not recorded"):
        fitted.query(0, epoch=3)
    with pytest.raises(QueryError, match="seed 10 is not in"):
        fitted.query(0, seed=10)


def test_the_card_on_the_command_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["card", "./space.toml", "--tasks", "./task.toml", "--out", "surrogates/made-up"]) == 0
    page = capsys.readouterr().out
    assert "97.5" in page  # 39 of 40
    assert "mlp.residual" in page
    card = json.loads((home / "surrogates/made-up/card.json").read_text())
    assert card["tasks"]["made-up-task"]["measured"] == 39
    assert (home / "surrogates/made-up/figures/effects.png").is_file()


def test_the_card_reads_run_folders(fitted: Benchmark, home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = home / "run"
    codes = fitted.space_definition.canonical_codes
    for searcher, part in (("first", codes[:25]), ("second", codes[10:-1])):
        path = run / "made-up" / "made-up-task" / searcher / "seed-000.jsonl"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("".join(json.dumps({"code": int(code)}) + "\n" for code in part))
    (run / "run.json").write_text("{}")
    words = ["card", "./space.toml", "--tasks", "./task.toml", "--out", "surrogates/made-up"]
    assert main([*words, "--searchers", "run"]) == 2
    assert "add --surrogates" in capsys.readouterr().err
    assert main([*words, "--surrogates", "lightgbm", "--searchers", "nowhere"]) == 2
    assert "no run folder" in capsys.readouterr().err
    assert main([*words, "--surrogates", "lightgbm", "--searchers", "run", "--json"]) == 0
    card = json.loads(capsys.readouterr().out)["tasks"]["made-up-task"]["surrogate"]["lightgbm"]
    assert card["leave_searcher_out"]["first"] is None  # the others saw 14 more: too few to fit
    assert card["cross_validation"]["last_epoch"]["test_score"]["r2"] is not None
    assert main([*words, "--json"]) == 0  # a card without surrogates keeps what was evaluated
    assert json.loads(capsys.readouterr().out)["tasks"]["made-up-task"]["surrogate"]["lightgbm"] == card
    assert main([*words, "--surrogates", "lightgbm", "--workers", "0"]) == 2
    assert "--workers 0: expected at least 1" in capsys.readouterr().err


def test_a_table_with_too_little_is_refused_in_one_line(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["fit", "cells-v1", "--out", str(home / "nothing")]) == 2
    assert capsys.readouterr().err.count("\n") == 1
