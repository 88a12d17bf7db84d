"""Runs of several searchers: plan, folder, resume, report."""

import json
import sys

import pytest

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


def test_a_portfolio_needs_other_tasks(tmp_path, monkeypatch, write_synthetic_table):
    write_synthetic_table(tmp_path / "surrogates" / "cells2-v1", "cells2-v1", ("mnist1d-v1",), seeds=2)
    monkeypatch.chdir(tmp_path)
    name = "cells2-v1/mnist1d-v1"
    with pytest.raises(ArgumentError, match="greedy-portfolio learns from other tasks of space 'cells2-v1'"):
        run_search(["random", "greedy-portfolio"], name, trials=5, seeds=1, out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_a_missing_package_stops_the_search(benchmark_table, tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(OptionalDependencyError, match=r"pip install 'metabench\[optuna\]'"):
        run_search(["random", "tpe"], benchmark_table, trials=2, seeds=2, out=tmp_path)
    assert len(files(tmp_path)) == 2  # what was finished is kept
