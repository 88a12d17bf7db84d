"""Build, kill, resume, pack, open: on a space and a task of the user's own, with real trainings."""

import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metabench
from metabench.errors import ArgumentError, MissingResultError, TableError
from metabench.tables import BuildReport, build_table, pack_table
from metabench.tables.shards import read_shards

NAME = "./space.toml:./task.toml"


@pytest.fixture
def home(own: Path) -> Path:
    return own / "surrogates" / "tiny"


@pytest.fixture
def copy(home: Path, built: Path) -> Path:
    shutil.copytree(built, home)
    return home


def shard_files(home: Path) -> list[Path]:
    return sorted((home / "shards" / "tiny-task").glob("*.npz"))


def build(home: Path, **settings: Any) -> BuildReport:
    return build_table("./space.toml", ["./task.toml"], workers=1, out=home, **settings)


def test_a_dry_run_only_plans(home: Path) -> None:
    plan = build(home, seeds=2, dry_run=True)
    assert (plan.planned, plan.done_before, plan.trained) == (6, 0, 0)
    assert not home.exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [({"device": "tpu"}, "device='tpu': expected"), ({"group": 0}, "group=0: expected at least 1")],
)
def test_where_and_how_many_at_once_are_checked_first(home: Path, settings: dict, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        build(home, **settings)
    assert not home.exists()


def test_the_size_of_the_groups_decides_no_number(home: Path, built: Path) -> None:
    build(home, seeds=2, group=1)
    assert len(shard_files(home)) > len(list((built / "shards" / "tiny-task").glob("*.npz")))
    ours, theirs = (np.load(folder / "table" / "results.npy") for folder in (home, built))
    np.testing.assert_allclose(ours, theirs, rtol=1e-2, atol=1e-2)


def test_build_is_resumable_and_repeatable(copy: Path) -> None:
    before = np.load(copy / "table" / "results.npy").tobytes()
    again = build(copy, seeds=2)
    assert (again.done_before, again.trained) == (6, 0)
    for path, shard in zip(shard_files(copy), read_shards(copy, "tiny-task"), strict=True):
        if "qp.box" in shard.architectures:
            path.unlink()
    mended = build(copy, seeds=2)
    assert (mended.done_before, mended.trained) == (2, 4)
    assert np.load(copy / "table" / "results.npy").tobytes() == before
    more = build(copy, seeds=3)
    assert (more.done_before, more.trained) == (6, 3)
    assert pack_table("./space.toml", ["./task.toml"], out=copy) == copy / "table"

    bench = metabench.open(NAME)
    assert bench.seeds == (0, 1, 2)
    assert bench.epochs == (1, 2)
    result = bench.query("qp.box")
    assert result.status.value == "ok"
    assert result.params == 40 * 8 + 8 + 2 * 64 + 8 + 8 * 10 + 10


def test_a_killed_build_loses_nothing_finished(home: Path, own: Path) -> None:
    script = own / "go.py"
    script.write_text(
        "from pathlib import Path\nfrom metabench.tables import BuildReport, build_table\n"
        "if __name__ == '__main__':\n"
        f"    build_table('./space.toml', ['./task.toml'], workers=1, seeds=12, out=Path({str(home)!r}))\n"
    )
    process = subprocess.Popen([sys.executable, str(script)], cwd=own, stderr=subprocess.PIPE)
    shards = home / "shards" / "tiny-task"
    deadline = time.monotonic() + 120
    while not list(shards.glob("*.npz")) and process.poll() is None and time.monotonic() < deadline:
        time.sleep(0.02)
    process.send_signal(signal.SIGINT)
    process.wait(timeout=60)
    kept = sum(len(s.architectures) * len(s.seeds) for s in read_shards(home, "tiny-task"))
    assert kept >= 1
    report = build(home, seeds=12)
    assert report.done_before == kept
    assert report.trained == 36 - kept
    assert not list(shards.glob(".*"))


def test_live_answers_the_same_query_as_the_table(copy: Path) -> None:
    table, live = metabench.open(NAME), metabench.open(NAME, kind="live")
    for architecture in ("mlp.residual", "qp.box"):
        ours, theirs = table.query(architecture, seed=1), live.query(architecture, seed=1)
        assert type(ours) is type(theirs)
        assert ours.val_score == pytest.approx(theirs.val_score, abs=0.011)
        assert ours.train_loss == pytest.approx(theirs.train_loss, rel=1e-3)
        assert (ours.params, ours.flops) == (theirs.params, theirs.flops)
    with pytest.raises(MissingResultError, match="kind='live'"):
        live.best()


def test_a_partial_table_says_what_is_missing(copy: Path) -> None:
    home = copy
    (missing,) = (p for p, s in zip(shard_files(home), read_shards(home, "tiny-task"), strict=True) if len(s.keys) == 1)
    missing.unlink()
    pack_table("./space.toml", ["./task.toml"], out=home)
    bench = metabench.open(NAME)
    scores = bench.query_batch(bench.space_definition.canonical_codes, seed="mean")
    assert np.isnan(scores).sum() == 1
    missing = int(bench.space_definition.canonical_codes[np.isnan(scores[:, 0])][0])
    with pytest.raises(MissingResultError, match="not in the table yet"):
        bench.query(missing)
    assert len(bench.best(3)) == 2


def test_bad_arguments(home: Path, own: Path) -> None:
    with pytest.raises(ArgumentError, match="seeds=0"):
        build(home, seeds=0)
    with pytest.raises(ArgumentError, match="no Dask scheduler answers"):
        build_table("./space.toml", ["./task.toml"], scheduler="tcp://127.0.0.1:9", out=home)
    with pytest.raises(TableError, match="no finished rows"):
        pack_table("./space.toml", ["./task.toml"], out=home)
    with pytest.raises(TableError, match="space 'tiny' has no table here"):
        metabench.open(NAME)
    shutil.rmtree(own / "surrogates")
    (own / "surrogates").write_text("a file where a folder should be")
    with pytest.raises(TableError, match="cannot be written"):
        build(home, seeds=1)
