"""Export to Optuna storages, read back by Optuna itself."""

import importlib.util
import sys
from datetime import datetime

import pytest

from metabench.analysis.comparison import compare
from metabench.analysis.optuna_export import export_to_optuna
from metabench.analysis.runs import read_folder
from metabench.errors import ArgumentError, OptionalDependencyError

needs_optuna = pytest.mark.skipif(
    importlib.util.find_spec("optuna") is None, reason="the extra optuna is not installed"
)
TASK = "cells9-v1/hills-v1"
STUDY = f"{TASK} random seed 0"


@pytest.fixture
def comparison(made_up, tmp_path):
    folder = made_up.folder(tmp_path / "run", searchers=("random",), tasks=(TASK,), seeds=2, trials=4)
    trials = made_up.trials("random", 0, 0, 4, 0.5)
    trials[1] |= {"val_score": None, "status": "diverged"}
    trials[2]["architecture"] = "gated.ode"
    made_up.run(folder, TASK, "random", 0, trials)
    return compare([read_folder(folder)])


@needs_optuna
@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_study_holds_the_run(comparison, tmp_path, kind):
    import optuna

    path = tmp_path / "deep" / "storage"
    path.parent.mkdir()
    storage = f"sqlite:///{path}" if kind == "sqlite" else f"journal:{path}"
    assert export_to_optuna(comparison, storage).startswith("2 studies written; look at them with: optuna-dashboard ")
    opened = storage
    if kind == "journal":
        opened = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
    study = optuna.load_study(study_name=STUDY, storage=opened)
    run = comparison.runs("random", comparison.tasks[0])[0]
    assert study.direction == optuna.study.StudyDirection.MAXIMIZE
    assert [trial.state.name for trial in study.trials] == ["COMPLETE", "FAIL", "COMPLETE", "COMPLETE"]
    assert study.trials[0].value == run.observed[0]
    assert study.trials[0].params == {"block 1": "mlp.deq", "block 2": "skip"}
    assert study.trials[2].params == {"block 1": "gated.ode", "block 2": "skip"}
    assert study.trials[3].user_attrs["test regret of the incumbent"] == run.test_regret[3]
    begin, end = study.trials[3].datetime_start, study.trials[3].datetime_complete
    assert (end - begin).total_seconds() == pytest.approx(run.seconds[3] - run.seconds[2], abs=1e-5)


@needs_optuna
def test_a_second_export_adds_nothing(comparison, tmp_path):
    storage = f"sqlite:///{tmp_path / 'storage.db'}"
    export_to_optuna(comparison, storage)
    assert export_to_optuna(comparison, storage).startswith("0 studies written, 2 were there; ")


@needs_optuna
def test_a_study_of_another_run_is_not_touched(comparison, tmp_path):
    import optuna

    storage = f"sqlite:///{tmp_path / 'storage.db'}"
    optuna.create_study(study_name=STUDY, storage=storage)
    with pytest.raises(ArgumentError, match=r"holds a study .* of 0 trials, not 4; choose another storage"):
        export_to_optuna(comparison, storage)


@needs_optuna
@pytest.mark.parametrize("storage", ["runs.db", "journal:", "nonsense://x"])
def test_a_storage_that_cannot_be_opened_is_one_clear_line(comparison, storage):
    with pytest.raises(ArgumentError, match="--optuna"):
        export_to_optuna(comparison, storage)


def test_without_optuna_the_message_says_how_to_get_it(comparison, monkeypatch):
    monkeypatch.setitem(sys.modules, "optuna", None)
    with pytest.raises(OptionalDependencyError, match=r"pip install 'metabench\[optuna\]'"):
        export_to_optuna(comparison, "sqlite:///x.db")


@needs_optuna
def test_trials_start_when_the_search_was_made(comparison, tmp_path):
    import optuna

    folder = comparison.folders[0]
    folder.provenance["created"] = "2026-11-24T10:00:00+00:00"
    storage = f"sqlite:///{tmp_path / 'storage.db'}"
    export_to_optuna(comparison, storage)
    started = optuna.load_study(study_name=STUDY, storage=storage).trials[0].datetime_start
    assert started == datetime.fromisoformat("2026-11-24T10:00:00+00:00").astimezone().replace(tzinfo=None)
