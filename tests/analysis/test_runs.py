"""Reading run folders: the documented fields, older folders, and every way a folder can be wrong."""

import json

import numpy as np
import pytest

from metabench.analysis.runs import read_folder, run_file
from metabench.errors import RunFolderError
from metabench.searchers.folder import trials_path

TASK = "cells9-v1/hills-v1"


@pytest.fixture
def folder(made_up, tmp_path):
    return made_up.folder(tmp_path / "run", searchers=("random",), tasks=(TASK,), seeds=2, trials=5)


def test_every_finished_run_is_read(folder):
    found = read_folder(folder)
    assert [(run.searcher, run.task, run.seed) for run in found.runs] == [("random", TASK, 0), ("random", TASK, 1)]
    assert found.gaps == ()
    assert found.provenance == {}
    run = found.runs[0]
    np.testing.assert_array_equal(run.evaluations, [1, 2, 3, 4, 5])
    assert (np.diff(run.test_regret) <= 0).all()
    assert run.overhead == pytest.approx(1e-4)
    np.testing.assert_array_equal(run.started, [0, *run.seconds[:-1]])  # not written: one worker, no pause
    assert np.isnan(run.test_score).all()  # not written either


def test_an_older_folder_counts_its_trials(folder):
    path = run_file(folder, TASK, "random", 0)
    trials = [json.loads(line) for line in path.read_text().splitlines()]
    for trial in trials:
        del trial["evaluations"]
    path.write_text("".join(f"{json.dumps(trial)}\n" for trial in trials))
    np.testing.assert_array_equal(read_folder(folder).runs[0].evaluations, [1, 2, 3, 4, 5])


def test_null_is_nan_and_unknown_fields_are_passed_over(folder, made_up):
    trials = made_up.trials("random", 0, 0, 2, 0.5)
    trials[0] |= {"val_score": None, "test_regret": None, "incumbent": None, "status": "diverged", "worker": 3}
    made_up.run(folder, TASK, "random", 0, trials)
    run = read_folder(folder).runs[0]
    assert np.isnan(run.test_regret[0])
    assert np.isnan(run.observed[0])
    assert run.statuses == ("diverged", "ok")
    assert run.incumbent == trials[1]["incumbent"]


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (lambda path: path.unlink(), "not finished"),
        (lambda path: path.write_text(""), "no trial"),
        (lambda path: path.write_text(path.read_text()[:-20]), "its file is damaged (its last line is cut off)"),
        (lambda path: path.write_text('{"number": 0}\n'), "its file is damaged (no field 'incumbent')"),
        (lambda path: path.write_text("[1]\n"), "its file is damaged"),
        (lambda path: path.write_text("nonsense\n"), "its file is damaged"),
    ],
)
def test_a_run_that_cannot_be_read_is_a_gap(folder, damage, reason):
    damage(run_file(folder, TASK, "random", 1))
    found = read_folder(folder)
    assert [run.seed for run in found.runs] == [0]
    (gap,) = found.gaps
    assert (gap.searcher, gap.task, gap.seed) == ("random", TASK, 1)
    assert reason in gap.reason


def test_a_run_that_raised_says_why(folder):
    path = run_file(folder, TASK, "random", 0)
    path.unlink()
    path.with_suffix(".failed.json").write_text(json.dumps({"error": "ValueError: no"}))
    assert read_folder(folder).gaps[0].reason == "it raised ValueError: no"


def test_no_run_folder_is_one_clear_line(tmp_path, folder):
    with pytest.raises(RunFolderError, match="is not there; expected a run folder"):
        read_folder(tmp_path / "nothing")
    with pytest.raises(RunFolderError, match=r"holds no run\.json.* Run folders inside it: run\."):
        read_folder(tmp_path)
    with pytest.raises(RunFolderError, match="is a file"):
        read_folder(folder / "run.json")


@pytest.mark.parametrize(
    ("plan", "message"),
    [
        ("{", "not a readable JSON object"),
        ("[]", "not a readable JSON object"),
        ('{"schema": 1}', "has no kind, searchers, benchmarks, trials, seeds"),
    ],
)
def test_a_damaged_plan_is_one_clear_line(folder, plan, message):
    (folder / "run.json").write_text(plan)
    with pytest.raises(RunFolderError, match=message):
        read_folder(folder)


def test_a_newer_schema_asks_for_an_upgrade(folder):
    plan = json.loads((folder / "run.json").read_text())
    (folder / "run.json").write_text(json.dumps(plan | {"schema": 2}))
    with pytest.raises(RunFolderError, match="upgrade metabench"):
        read_folder(folder)


@pytest.mark.parametrize("searcher", ["random", "my/searcher", "..odd name", "ünïcode-2"])
def test_a_run_is_looked_for_where_a_search_writes_it(tmp_path, searcher):
    assert run_file(tmp_path, TASK, searcher, 12) == trials_path(tmp_path, TASK, searcher, 12)
