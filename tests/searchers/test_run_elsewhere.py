"""Runs away from home: live trainings, killed processes, worker processes and Dask."""

import contextlib
import functools
import json
import logging
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

import metabench
from metabench.errors import ArgumentError, RunFolderError
from metabench.searchers import run_search

FAST = ["random", "regularized-evolution"]
# Scripts in other folders import the package under test, wherever it is installed from.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(metabench.__file__).parents[1])}


def files(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*.jsonl"))}


def without_overhead(folder):
    return [
        [
            {k: v for k, v in json.loads(line).items() if k != "overhead_seconds"}
            for line in path.read_text().splitlines()
        ]
        for path in sorted(folder.rglob("seed-*.jsonl"))
    ]


SCRIPT = """
print("started")
from metabench.searchers import run_search
report = run_search(["smac", "random"], "cells2-v1/mnist1d-v1", trials=6, seeds=2, out="run", workers=2)
print(*(f"{row.searcher} {row.runs}" for row in sorted(report.rows, key=lambda r: r.searcher)), *report.notes, sep=";")
"""


def test_processes_work_from_a_script_without_main_guard(tmp_path):
    """On the shipped table: workers open benchmarks by id."""
    (tmp_path / "script.py").write_text(SCRIPT)
    done = subprocess.run(
        [sys.executable, "script.py"], cwd=tmp_path, env=ENVIRONMENT, capture_output=True, text=True, timeout=120
    )
    assert done.stdout.splitlines() == ["started", "random 2;smac 2"], done.stderr
    assert done.stderr == ""


SPACE = """
id = "mine-v1"
description = "Two blocks."
stages = 1
width = 4
blocks = ["skip", "mlp.residual", "mlp.tied"]
"""
TASK = """
id = "small-v1"
description = "A few spirals."
dataset = "spirals"
metric = "accuracy"
[parameters]
samples = 96
arms = 3
turns = 1.0
noise = 0.01
seed = 0
[splits]
train = 32
val = 32
test = 32
[protocol]
epochs = 2
batch_size = 16
checkpoints = [1, 2]
[protocol.learning_rate]
default = 0.01
"""


def test_live_search_trains_reports_scores_and_never_trains_twice(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "space.toml").write_text(SPACE)
    (tmp_path / "task.toml").write_text(TASK)
    name = "./space.toml:./task.toml"
    arguments = {"trials": 3, "seeds": 1, "out": tmp_path / "run", "kind": "live", "workers": 1}
    plan = run_search(["random", "asha"], name, **arguments, dry_run=True)
    assert any("no known optimum under kind 'live'" in note for note in plan.notes)
    assert any("up to 3 architectures will be trained, 3 replicates each" in note for note in plan.notes)
    report = run_search(["random", "asha"], name, **arguments)
    assert {row.searcher for row in report.rows} == {"random", "asha"}
    for row in report.rows:
        assert row.test_regret[3].median is None
        assert 0 < row.test_score[3].median <= 1
    assert all(entry.val_score is not None and entry.val_regret is None for entry in report.incumbents)
    folder = tmp_path / "run" / "mine-v1" / "small-v1"
    kept = (folder / "trainings.jsonl").read_text().splitlines()
    assert len(kept) == 3 * 3 * 2  # architectures, replicates, epochs
    # As if killed after the trainings: they are read, not done again, and give the same search.
    before = without_overhead(tmp_path)
    for path in folder.rglob("seed-*.jsonl"):
        path.unlink()
    monkeypatch.setattr("metabench.tables.units.run_unit", lambda unit: pytest.fail("trained again"))
    run_search(["random", "asha"], name, **arguments)
    assert without_overhead(tmp_path) == before
    (tmp_path / "task.toml").write_text(TASK.replace("batch_size = 16", "batch_size = 8"))
    with pytest.raises(RunFolderError, match="another plan: its benchmarks"):  # what is kept there is of another task
        run_search(["random", "asha"], name, **arguments)


KILLED = """
import sys, time
from metabench.searchers import SEARCHERS, run_search
from metabench.searchers.random_search import RandomSearch
from metabench.testing.toy_benchmark import make_toy_benchmark

class Slow(RandomSearch):
    def ask(self):
        time.sleep(float(sys.argv[1]))
        return super().ask()

SEARCHERS.add("slow", Slow)
run_search(["random", "slow"], make_toy_benchmark(), trials=5, seeds=4, out="run")
"""


def test_a_killed_search_is_completed_and_repeats_nothing(tmp_path):
    (tmp_path / "killed.py").write_text(KILLED)
    first = tmp_path / "run" / "toy-v1" / "toy-v1" / "slow" / "seed-000.jsonl"
    process = subprocess.Popen([sys.executable, "killed.py", "0.05"], cwd=tmp_path, env=ENVIRONMENT)
    deadline = time.monotonic() + 120
    while not first.exists():
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.01)
    process.kill()
    process.wait()
    before = files(tmp_path)
    assert 5 <= len(before) < 8  # four of random, then some of slow
    subprocess.run([sys.executable, "killed.py", "0"], cwd=tmp_path, env=ENVIRONMENT, check=True, timeout=120)
    after = files(tmp_path)
    assert len(after) == 8
    assert {path: after[path] for path in before} == before
    assert not list(tmp_path.rglob(".*.jsonl.*"))
    (tmp_path / "whole").mkdir()
    subprocess.run([sys.executable, "../killed.py", "0"], cwd=tmp_path / "whole", env=ENVIRONMENT, check=True)
    assert without_overhead(tmp_path / "run") == without_overhead(tmp_path / "whole")


ORPHANS = """
from metabench.searchers import run_search
run_search("smac", "cells2-v1/mnist1d-v1", trials=150, seeds=2, out="run", workers=2)
"""


def children_of(pid):
    """Process ids whose parent is ``pid``."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            if int(stat.read_text().rpartition(")")[2].split()[1]) == pid:
                found.add(int(stat.parent.name))
    return found


@pytest.mark.slow
@pytest.mark.skipif(not Path("/proc/self/stat").exists(), reason="reads /proc")
def test_workers_end_with_a_killed_parent(tmp_path):
    (tmp_path / "orphans.py").write_text(ORPHANS)
    process = subprocess.Popen([sys.executable, "orphans.py"], cwd=tmp_path, env=ENVIRONMENT)
    deadline = time.monotonic() + 60
    while len(children := children_of(process.pid)) < 3:  # two workers and the resource tracker
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.05)
    time.sleep(5)  # until the workers work
    process.kill()
    process.wait()
    try:
        while any(Path(f"/proc/{child}").exists() for child in children):
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        for child in children:
            with contextlib.suppress(OSError):
                os.kill(child, signal.SIGKILL)


def test_dask_gives_the_same_trials(tmp_path):
    from distributed import LocalCluster

    name = "cells2-v1/mnist1d-v1"
    run_search(FAST, name, trials=6, seeds=2, out=tmp_path / "here")
    with LocalCluster(
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=":0", silence_logs=logging.ERROR
    ) as cluster:
        address = cluster.scheduler_address
        report = run_search(FAST, name, trials=6, seeds=2, out=tmp_path / "dask", scheduler=address)
    assert [row.runs for row in report.rows] == [2, 2]
    assert without_overhead(tmp_path / "dask") == without_overhead(tmp_path / "here")


@pytest.mark.parametrize("address", ["tcp://127.0.0.1:1", "nonsense"])
def test_no_scheduler_is_one_line(address, tmp_path, monkeypatch):
    import distributed

    monkeypatch.setattr(distributed, "Client", functools.partial(_quick_client, distributed.Client))
    with pytest.raises(ArgumentError, match="no Dask scheduler answers") as caught:
        run_search("random", "cells2-v1/mnist1d-v1", trials=2, seeds=1, out=tmp_path, scheduler=address)
    assert "\n" not in str(caught.value)


def _quick_client(maker, address, timeout):
    return maker(address, timeout="1s")
