"""Runs of several searchers: plan, folder, resume, report."""

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
from metabench.errors import (
    ArgumentError,
    MetabenchError,
    OptionalDependencyError,
    RunFolderError,
    UnknownNameError,
)
from metabench.searchers import SEARCHERS, Settings, run_search
from metabench.searchers.random_search import RandomSearch
from metabench.testing.toy_benchmark import make_toy_benchmark

FAST = ["random", "regularized-evolution"]
# Scripts in other folders import the package under test, wherever it is installed from.
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(Path(metabench.__file__).parents[1])}


class FailsOnSomeSeeds(RandomSearch):
    """Raises for about half of the seeds."""

    def ask(self):
        trial = super().ask()
        if trial.number == 0 and trial.seed != 0:
            raise RuntimeError("a searcher's own fault\nin two lines")
        return trial


class AlwaysFails(RandomSearch):
    def tell(self, trial, result):
        raise RuntimeError("always")


@pytest.fixture
def searchers(monkeypatch):
    monkeypatch.setattr(SEARCHERS, "_entries", dict(SEARCHERS._entries))
    return SEARCHERS


def files(folder):
    return {path: path.read_bytes() for path in sorted(folder.rglob("*.jsonl"))}


def without_overhead(folder):
    return [
        [{k: v for k, v in json.loads(line).items() if k != "overhead_seconds"} for line in text.decode().splitlines()]
        for text in files(folder).values()
    ]


def test_report_and_folder(benchmark_table, tmp_path):
    report = run_search(FAST, benchmark_table, trials=30, seeds=4, out=tmp_path / "run")
    assert report.folder == tmp_path / "run"
    assert len(files(report.folder)) == 8
    assert json.loads((report.folder / "run.json").read_text()) == report.plan
    assert {row.searcher for row in report.rows} == set(FAST)
    for row in report.rows:
        assert row.runs == 4
        assert set(row.test_regret) == {25, 30}
        assert row.test_regret[30].lower <= row.test_regret[30].median <= row.test_regret[30].upper
        assert row.overhead_seconds > 0
    assert [row.test_regret[30].median for row in report.rows] == sorted(
        row.test_regret[30].median for row in report.rows
    )
    assert len(report.incumbents) == 8
    assert report.figures[0].read_bytes()[:4] == b"\x89PNG"
    json.dumps(report.as_dict(), allow_nan=False)


def test_exhaustion_and_a_budget_past_the_space_are_said(benchmark_table, tmp_path):
    report = run_search("random", benchmark_table, trials=30, seeds=2, out=tmp_path / "run")
    assert any("30 trials are more than the 21 architectures" in note for note in report.notes)
    assert any("2 of 2 runs ended after 21 of 30 trials" in note for note in report.notes)
    row = report.rows[0]
    assert row.evaluations == 21
    assert row.val_regret[25] == row.val_regret[30]


def test_same_plan_elsewhere_gives_the_same_trials(make_benchmark, tmp_path):
    for name in ("a", "b"):
        run_search(FAST, make_benchmark(), trials=12, seeds=3, out=tmp_path / name)
    assert without_overhead(tmp_path / "a") == without_overhead(tmp_path / "b")


def test_second_call_does_only_the_rest(make_benchmark, tmp_path):
    out = tmp_path / "run"
    first = run_search(FAST, make_benchmark(), trials=12, seeds=3, out=out)
    before = files(out)
    again = make_benchmark()
    report = run_search(FAST, again, trials=12, seeds=3, out=out)
    assert again.asked == 0
    assert files(out) == before
    assert report.rows == first.rows
    gone, cut = list(before)[1], list(before)[4]
    gone.unlink()
    cut.write_bytes(cut.read_bytes()[:-20])
    run_search(FAST, make_benchmark(), trials=12, seeds=3, out=out)
    after = files(out)
    assert {path for path in before if before[path] != after[path]} <= {gone, cut}
    assert [len(text.splitlines()) for text in after.values()] == [12] * 6


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"trials": 13}, "trials"),
        ({"seeds": 4}, "seeds"),
        ({"searchers": ["random"]}, "searchers"),
        ({"settings": Settings(sim_workers=2)}, "settings"),
        ({"on": "other"}, "benchmarks"),
    ],
)
def test_another_plan_is_refused(make_benchmark, tmp_path, change, key):
    arguments = {"searchers": FAST, "on": make_benchmark(), "trials": 12, "seeds": 2, "out": tmp_path / "run"}
    run_search(**arguments)
    before = files(tmp_path)
    if "on" in change:
        change = {"on": make_benchmark(missing=[(5, 0)])}
    with pytest.raises(RunFolderError, match=f"another plan: its {key}") as caught:
        run_search(**arguments | change)
    assert "\n" not in str(caught.value)
    assert files(tmp_path) == before


def test_a_folder_that_is_no_run_is_refused(benchmark_table, tmp_path):
    (tmp_path / "thesis.tex").write_text("x")
    with pytest.raises(RunFolderError, match="not empty"):
        run_search("random", benchmark_table, trials=2, seeds=1, out=tmp_path)
    (tmp_path / "run.json").write_text("{")
    with pytest.raises(RunFolderError, match="cannot be read"):
        run_search("random", benchmark_table, trials=2, seeds=1, out=tmp_path)


@pytest.mark.parametrize(("trials", "seeds"), [(0, 1), (-3, 1), (1, 0), (1, -1), (1.5, 1), (True, 1)])
def test_budgets_must_be_positive_whole_numbers(benchmark_table, tmp_path, trials, seeds):
    with pytest.raises(ArgumentError, match="at least 1"):
        run_search("random", benchmark_table, trials=trials, seeds=seeds, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_unknown_or_no_searcher(benchmark_table, tmp_path):
    with pytest.raises(UnknownNameError, match="Did you mean 'smac'"):
        run_search(["smak"], benchmark_table, trials=1, seeds=1, out=tmp_path / "run")
    with pytest.raises(ArgumentError, match="no searcher"):
        run_search([], benchmark_table, trials=1, seeds=1, out=tmp_path / "run")


def test_dry_run_writes_nothing_and_estimates(benchmark_table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    report = run_search(["smac", "random"], benchmark_table, trials=100, seeds=10, dry_run=True)
    assert list(tmp_path.iterdir()) == []
    assert report.dry_run
    assert report.estimated_seconds == pytest.approx(10 * 100 * (0.03 + 1e-5))
    assert report.plan["searchers"] == ["smac", "random"]
    assert report.folder.parts[0] == "runs"
    assert report.folder.name.endswith("-smac-random")


def test_default_folder_is_below_the_current_one(benchmark_table, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    first = run_search("random", benchmark_table, trials=2, seeds=1)
    second = run_search("random", benchmark_table, trials=2, seeds=1)
    assert first.folder != second.folder
    assert (tmp_path / first.folder / "run.json").exists()


def test_a_searcher_that_raises_loses_only_its_own_runs(searchers, benchmark_table, tmp_path):
    searchers.add("half", FailsOnSomeSeeds)
    report = run_search(["half", "random"], benchmark_table, trials=5, seeds=8, out=tmp_path / "run")
    rows = {row.searcher: row for row in report.rows}
    assert rows["random"].runs == 8
    failed = [note for note in report.notes if "RuntimeError: a searcher's own fault" in note]
    assert 0 < rows["half"].runs < 8
    assert report.failed == len(failed) == 8 - rows["half"].runs
    marks = sorted(tmp_path.rglob("*.failed.json"))
    assert len(marks) == report.failed
    mark = json.loads(marks[0].read_text())
    assert mark == {
        "searcher": "half",
        "task": benchmark_table.id,
        "seed": int(marks[0].name[5:8]),
        "error": "RuntimeError: a searcher's own fault in two lines",
    }
    assert not marks[0].with_name(marks[0].name.replace(".failed.json", ".jsonl")).exists()


def test_a_failed_run_is_tried_again_and_its_mark_removed(searchers, benchmark_table, tmp_path, monkeypatch):
    searchers.add("half", FailsOnSomeSeeds)
    first = run_search("half", benchmark_table, trials=5, seeds=8, out=tmp_path / "run")
    assert first.failed
    before = files(tmp_path)
    monkeypatch.setattr(FailsOnSomeSeeds, "ask", RandomSearch.ask)
    second = run_search("half", benchmark_table, trials=5, seeds=8, out=tmp_path / "run")
    assert second.failed == 0
    assert second.rows[0].runs == 8
    assert list(tmp_path.rglob("*.failed.json")) == []
    assert before.items() <= files(tmp_path).items()


def test_when_no_run_finishes_it_is_an_error(searchers, benchmark_table, tmp_path):
    searchers.add("never", AlwaysFails)
    with pytest.raises(MetabenchError, match="RuntimeError: always"):
        run_search("never", benchmark_table, trials=5, seeds=2, out=tmp_path / "run")


def test_when_every_training_failed_the_report_still_stands(make_benchmark, tmp_path):
    codes = make_benchmark().space_definition.canonical_codes.tolist()
    one_left = [(code, seed) for code in codes for seed in (0, 1, 2)][:-1]
    report = run_search("random", make_benchmark(missing=one_left), trials=1, seeds=1, out=tmp_path / "run")
    assert report.rows[0].test_regret[1] == (None, None, None)
    assert report.incumbents[0].code is None
    assert report.figures == []
    json.dumps(report.as_dict(), allow_nan=False)


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


def test_the_plan_and_who_made_it(benchmark_table, tmp_path):
    report = run_search("random", benchmark_table, trials=2, seeds=1, out=tmp_path, command="metabench search random")
    entry = report.plan["benchmarks"][0]
    scores = benchmark_table.query_batch(benchmark_table.space_definition.canonical_codes, metrics=("val_score",))
    assert entry["regret"] is True
    assert entry["best_val_score"] == pytest.approx(scores.max())
    assert report.plan["settings"] == {
        "sim_workers": 1,
        "clock": "seconds",
        "promotions": "continue",
        "replicates": "random",
    }
    made = json.loads((tmp_path / "provenance.json").read_text())
    assert made["command"] == "metabench search random"
    assert made["packages"]["metabench"]
    run_search("random", benchmark_table, trials=2, seeds=1, out=tmp_path, command="another")
    assert json.loads((tmp_path / "provenance.json").read_text()) == made


def test_a_folder_of_another_version_is_refused(benchmark_table, tmp_path):
    run_search("random", benchmark_table, trials=2, seeds=1, out=tmp_path)
    path = tmp_path / "run.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"version": "0.0.1"}))
    with pytest.raises(RunFolderError, match=r"another plan: its version is \"0\.0\.1\""):
        run_search("random", benchmark_table, trials=2, seeds=1, out=tmp_path)


def test_fidelities_are_compared_by_what_they_spend(tmp_path):
    benchmark = make_toy_benchmark()
    report = run_search(["random", "hyperband"], benchmark, trials=9, seeds=2, out=tmp_path)
    rows = {row.searcher: row for row in report.rows}
    assert rows["random"].evaluations == rows["hyperband"].evaluations == 9
    assert set(rows["hyperband"].test_regret) == {9}
    lines = [
        json.loads(line) for line in (tmp_path / "toy-v1/toy-v1/hyperband/seed-000.jsonl").read_text().splitlines()
    ]
    assert len(lines) > 9
    assert lines[-1]["evaluations"] <= 9
    spent = sum(line["epoch"] - line["resumed_epoch"] for line in lines)
    assert lines[-1]["evaluations"] == pytest.approx(spent / 9)
    assert not any("ended after" in note for note in report.notes)


def test_fixed_replicates_give_each_run_one(tmp_path):
    run_search("random", make_toy_benchmark(), trials=5, seeds=4, out=tmp_path, settings=Settings(replicates="fixed"))
    used = [{json.loads(line)["seed"] for line in text.splitlines()} for text in files(tmp_path).values()]
    assert used == [{0}, {1}, {2}, {0}]


def test_a_portfolio_needs_other_tasks(tmp_path):
    name = "cells2-v1/mnist1d-v1"
    with pytest.raises(ArgumentError, match="greedy-portfolio learns from other tasks of space 'cells2-v1'"):
        run_search(["random", "greedy-portfolio"], name, trials=5, seeds=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_missing_package_stops_the_search(benchmark_table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(OptionalDependencyError, match=r"pip install 'metabench\[optuna\]'"):
        run_search(["random", "tpe"], benchmark_table, trials=2, seeds=2, out=tmp_path)
    assert len(files(tmp_path)) == 2  # what was finished is kept


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
        n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None, silence_logs=logging.ERROR
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
