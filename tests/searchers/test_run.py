"""Runs of several searchers: plan, folder, resume, report."""

import json
import subprocess
import sys

import pytest

from metabench.errors import ArgumentError, MetabenchError, RunFolderError, UnknownNameError
from metabench.searchers import SEARCHERS, run_search
from metabench.searchers.random_search import RandomSearch

FAST = ["random", "regularized-evolution"]


class FailsOnSomeSeeds(RandomSearch):
    """Raises for about half of the seeds."""

    def ask(self):
        if self._replicates[0] != 0:
            raise RuntimeError("a searcher's own fault")
        return super().ask()


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
    assert report.estimated_seconds == pytest.approx(140, rel=0.01)
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
    assert len(failed) == 8 - rows["half"].runs


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
    done = subprocess.run([sys.executable, "script.py"], cwd=tmp_path, capture_output=True, text=True, timeout=120)
    assert done.stdout.splitlines() == ["started", "random 2;smac 2"], done.stderr
    assert done.stderr == ""
