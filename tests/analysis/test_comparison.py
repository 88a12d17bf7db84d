"""Several folders: what is compared, what is kept apart, what is said."""

import json

import numpy as np
import pytest

from metabench.analysis.blocks import common_blocks, losses_at_budget
from metabench.analysis.comparison import compare, final_losses
from metabench.analysis.curves import time_label
from metabench.analysis.findings import findings
from metabench.analysis.notes import comparison_notes
from metabench.analysis.report import report_on
from metabench.analysis.runs import read_folder
from metabench.errors import RunFolderError

HILLS, PLAINS, COAST = TASKS = ("cells9-v1/hills-v1", "cells9-v1/plains-v1", "cells9-v1/coast-v1")


def _compare(*paths):
    return compare([read_folder(path) for path in paths])


def _notes(comparison):
    return " ".join(comparison_notes(comparison))


def test_one_folder_is_compared_as_it_is(made_up, tmp_path):
    found = _compare(made_up.folder(tmp_path / "a"))
    assert found.searchers == made_up.SEARCHERS
    assert [task.label for task in found.tasks] == list(TASKS)
    assert found.budget == 30
    assert {cell.planned for cell in found.cells.values()} == {4}
    assert comparison_notes(found) == []


def test_different_searchers_of_two_folders_stand_side_by_side(made_up, tmp_path):
    a = made_up.folder(tmp_path / "a", searchers=("random",))
    b = made_up.folder(tmp_path / "b", searchers=("local-search",))
    found = _compare(a, b, a)  # the same folder twice is one
    assert found.searchers == ("random", "local-search")
    assert found.common_tasks == found.tasks


def test_the_same_searcher_in_two_folders_has_two_names(made_up, tmp_path):
    a, b = made_up.folder(tmp_path / "a"), made_up.folder(tmp_path / "b", searchers=("random",))
    found = _compare(a, b)
    assert found.searchers == ("random (a)", "regularized-evolution", "local-search", "random (b)")
    assert "shown once for each" in _notes(found)


def test_another_table_is_another_task(made_up, tmp_path):
    a, b = made_up.folder(tmp_path / "a", tasks=(HILLS,)), made_up.folder(tmp_path / "b", tasks=(HILLS,))
    plan = json.loads((b / "run.json").read_text())
    plan["benchmarks"][0]["table"]["sha256"] = "cd" * 32
    (b / "run.json").write_text(json.dumps(plan))
    found = _compare(a, b)
    assert [task.label for task in found.tasks] == [f"{HILLS} (table abababab)", f"{HILLS} (table cdcdcdcd)"]
    assert found.searchers == made_up.SEARCHERS  # on different tasks: no two runs of one name collide
    assert "treated as different tasks" in _notes(found)


def test_tasks_that_a_searcher_lacks_are_left_out_of_what_is_common(made_up, tmp_path):
    a = made_up.folder(tmp_path / "a", searchers=("random",), tasks=(HILLS, PLAINS))
    b = made_up.folder(tmp_path / "b", searchers=("local-search",), tasks=(PLAINS, COAST))
    found = _compare(a, b)
    assert [task.label for task in found.common_tasks] == [PLAINS]
    assert f"Not every searcher has a finished run on {HILLS}, {COAST}" in _notes(found)


def test_the_smallest_budget_counts(made_up, tmp_path):
    a = made_up.folder(tmp_path / "a", searchers=("random",), tasks=(HILLS,), trials=30)
    b = made_up.folder(tmp_path / "b", searchers=("local-search",), tasks=(HILLS,), trials=10)
    found = _compare(a, b)
    assert found.budget == 10
    run = found.runs("random", found.tasks[0])[0]
    assert final_losses(found, "random", found.tasks[0])[0] == run.test_regret[9]
    assert "budgets of 10, 30 full trainings; all are compared at 10" in _notes(found)


def test_another_clock_has_no_common_time(made_up, tmp_path):
    a = made_up.folder(tmp_path / "a", searchers=("random",), settings={"clock": "seconds", "sim_workers": 1})
    b = made_up.folder(tmp_path / "b", searchers=("local-search",), settings={"clock": "epochs"})
    assert _compare(a, b).clock is None
    assert "simulated clocks have different rules" in _notes(_compare(a, b))
    assert _compare(a).clock == {"clock": "seconds", "sim_workers": 1, "promotions": "continue"}
    assert time_label(_compare(a).clock) == "Simulated time (CPU seconds of training)"
    assert time_label({"clock": "epochs", "sim_workers": 4}) == "Simulated time (epochs, 4 workers)"


def test_another_definition_of_live_trainings_is_another_task(made_up, tmp_path):
    a, b = (made_up.folder(tmp_path / name, tasks=(HILLS,), kind="live") for name in "ab")
    for path, checksum in ((a, "12" * 32), (b, "34" * 32)):
        plan = json.loads((path / "run.json").read_text())
        plan["benchmarks"][0] |= {"table": {"kind": "live"}, "kind": "live", "definition": checksum}
        (path / "run.json").write_text(json.dumps(plan))
    assert [task.label for task in _compare(a, b).tasks] == [f"{HILLS} (live 12121212)", f"{HILLS} (live 34343434)"]


def test_missing_runs_are_counted_and_named(made_up, tmp_path):
    folder = made_up.folder(tmp_path / "a", tasks=(HILLS,))
    (folder / HILLS / "random" / "seed-002.jsonl").unlink()
    found = _compare(folder)
    assert [(gap.searcher, gap.seed) for gap in found.gaps] == [("random", 2)]
    assert "1 of 12 planned runs are not there" in _notes(found)
    assert [block.seed for block in common_blocks(found)] == [0, 1, 3]


def test_a_run_without_incumbent_is_worst_and_said(made_up, tmp_path):
    folder = made_up.folder(tmp_path / "a", searchers=("random", "smac"), tasks=(HILLS,), seeds=2)
    trials = made_up.trials("smac", 0, 1, 30, 0.5)
    for trial in trials:
        trial |= dict.fromkeys(("val_score", "incumbent", "val_regret", "test_regret")) | {"status": "diverged"}
    made_up.run(folder, HILLS, "smac", 1, trials)
    found = _compare(folder)
    assert np.isinf(final_losses(found, "smac", found.tasks[0])).tolist() == [False, True]
    losses = losses_at_budget(common_blocks(found), found.budget, {HILLS: 1.0})
    assert losses[1, 1] == 1.0 + np.delete(losses.ravel(), 3).max()
    assert "smac: in 1 of 2 runs (cells9-v1/hills-v1) no training succeeded" in _notes(found)


def test_no_known_optimum_turns_regret_into_error(made_up, tmp_path):
    folder = made_up.folder(tmp_path / "a", searchers=("random",), tasks=(HILLS,), kind="live", seeds=1)
    trials = made_up.trials("random", 0, 0, 30, 0.5)
    for trial in trials:
        trial |= {"val_regret": None, "test_regret": None, "incumbent_val_score": 0.7, "incumbent_test_score": 0.6}
    made_up.run(folder, HILLS, "random", 0, trials)
    plan = json.loads((folder / "run.json").read_text())
    del plan["benchmarks"][0]["regret"]
    (folder / "run.json").write_text(json.dumps(plan))
    found = _compare(folder)
    assert found.tasks[0].measure == "error"
    assert final_losses(found, "random", found.tasks[0]) == pytest.approx([0.4])
    assert final_losses(found, "random", found.tasks[0], "val") == pytest.approx([0.3])
    notes = _notes(found)
    assert "error (1 - score) stands in for regret" in notes
    assert "single seed: there are no intervals" in notes
    assert "one searcher only" in notes
    document = report_on(found)
    assert document["summary"]["measure"] == "error"
    assert "interquartile mean of final test error" in findings(document)[0]


def test_a_run_that_ended_early_holds_its_incumbent_and_is_said(made_up, tmp_path):
    folder = made_up.folder(tmp_path / "a", searchers=("random",), tasks=(HILLS,))
    made_up.run(folder, HILLS, "random", 0, made_up.trials("random", 0, 0, 12, 0.5))
    found = _compare(folder)
    assert final_losses(found, "random", found.tasks[0])[0] == found.runs("random", found.tasks[0])[0].test_regret[-1]
    assert (
        "random: 1 of 4 runs (cells9-v1/hills-v1) ended before their budget, the first after 12 full trainings"
        in _notes(found)
    )


def test_no_finished_run_is_one_clear_line(made_up, tmp_path):
    folder = made_up.folder(tmp_path / "a", searchers=("random",), tasks=(HILLS,), seeds=1)
    (folder / HILLS / "random" / "seed-000.jsonl").unlink()
    with pytest.raises(RunFolderError, match=r"no finished run in .*random on cells9-v1/hills-v1: not finished"):
        _compare(folder)


def test_fractions_of_trainings_count_as_such(made_up, tmp_path):
    folder = made_up.folder(tmp_path / "a", searchers=("asha",), tasks=(HILLS,), seeds=1, trials=1)
    trials = made_up.trials("asha", 0, 0, 20, 0.5)
    for number, trial in enumerate(trials):
        trial["evaluations"] = (number + 1) / 10  # ten trials a full training: the budget ends in the middle
    made_up.run(folder, HILLS, "asha", 0, trials)
    found = _compare(folder)
    assert final_losses(found, "asha", found.tasks[0])[0] == trials[9]["test_regret"]
