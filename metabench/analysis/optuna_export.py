"""Writes runs into an Optuna storage, so that optuna-dashboard shows them: one study for each run."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from metabench.analysis.comparison import Comparison, Task
from metabench.analysis.runs import Run
from metabench.errors import ArgumentError, MetabenchError, OptionalDependencyError

__all__ = ["export_to_optuna", "study_name"]

_EPOCH = datetime(2000, 1, 1, tzinfo=UTC)  # where a run's simulated clock starts if nothing says when it was made


def export_to_optuna(comparison: Comparison, storage: str) -> str:
    """Exports all finished runs; a study that is there already, whole, is left alone.

    Trials are maximised validation scores with one categorical parameter a stage; start and end are on the simulated
    clock, from when the search was made. Replicate, status, incumbent and regrets are user attributes.

    Args:
        comparison: the runs.
        storage: ``sqlite:///FILE.db`` or another SQLAlchemy URL, or ``journal:FILE``.

    Returns:
        A line on what was written.

    Raises:
        OptionalDependencyError: if Optuna is not installed.
        ArgumentError: if the storage cannot be opened or holds something else under a study's name.
    """
    optuna = _import_optuna()
    opened = _open(optuna, storage)
    known = {study.study_name: study for study in optuna.get_all_study_summaries(opened, include_best_trial=False)}
    written = kept = 0
    for searcher in comparison.searchers:
        for task in comparison.tasks:
            stages, blocks = _stages(task, comparison.runs(searcher, task))
            for run in comparison.runs(searcher, task):
                name = study_name(searcher, task, run)
                if name in known:
                    if known[name].n_trials != len(run.codes):
                        raise ArgumentError(
                            f"{storage} holds a study {name!r} of {known[name].n_trials} trials, not {len(run.codes)}; "
                            "choose another storage."
                        )
                    kept += 1
                    continue
                study = optuna.create_study(storage=opened, study_name=name, direction="maximize")
                study.set_user_attr("made by", "metabench report")
                study.add_trials(_trials(optuna, run, stages, blocks, _start(comparison, run)))
                written += 1
    there = f", {kept} were there" if kept else ""
    return f"{written} studies written{there}; look at them with: optuna-dashboard {_dashboard(storage)}"


def study_name(searcher: str, task: Task, run: Run) -> str:
    """For example ``cells-v1/letter-v1 random seed 3``."""
    return f"{task.label} {searcher} seed {run.seed}"


def _import_optuna() -> Any:
    try:
        import optuna  # pyright: ignore[reportMissingImports]  # an extra
    except ImportError as error:
        raise OptionalDependencyError(f"--optuna needs Optuna ({error}); pip install 'metabench[optuna]'.") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna


def _open(optuna: Any, storage: str) -> Any:
    kind, _, rest = storage.partition(":")
    if kind == "journal" and rest:
        from optuna.storages.journal import JournalFileBackend  # type: ignore[import-not-found]

        Path(rest).parent.mkdir(parents=True, exist_ok=True)
        return optuna.storages.JournalStorage(JournalFileBackend(rest))
    if "://" not in storage:
        raise ArgumentError(f"--optuna {storage!r}: expected a storage, as sqlite:///runs.db or journal:runs.log.")
    try:
        return optuna.storages.RDBStorage(storage)
    except Exception as error:  # SQLAlchemy and its drivers raise errors of their own
        first = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise ArgumentError(f"--optuna {storage!r} cannot be opened ({first}).") from error


def _dashboard(storage: str) -> str:
    return storage.removeprefix("journal:")


def _start(comparison: Comparison, run: Run) -> datetime:
    for folder in comparison.folders:
        if any(run is one for one in folder.runs) and isinstance(folder.provenance.get("created"), str):
            try:
                return datetime.fromisoformat(folder.provenance["created"])
            except ValueError:
                break
    return _EPOCH


def _stages(task: Task, runs: Sequence[Run]) -> tuple[int, tuple[str, ...]]:
    """Stages and blocks of the task's space; of a space that is not at hand, what the runs asked for."""
    from metabench.spaces import load_space

    try:
        space = load_space(task.space)
        return space.stages, tuple(space.blocks)
    except MetabenchError:
        asked = [_blocks(architecture) for run in runs for architecture in run.architectures]
        return max(map(len, asked), default=1), tuple(sorted({"skip", *(block for found in asked for block in found)}))


def _blocks(architecture: str) -> list[str]:
    return architecture.split(",")


def _trials(optuna: Any, run: Run, stages: int, blocks: tuple[str, ...], start: datetime) -> list[Any]:
    distributions = {
        f"block {stage}": optuna.distributions.CategoricalDistribution(blocks) for stage in range(1, stages + 1)
    }
    trials = []
    for number, architecture in enumerate(run.architectures):
        chosen = _blocks(architecture)
        chosen += ["skip"] * (stages - len(chosen))  # skips are removed from a canonical architecture
        score = float(run.observed[number])
        failed = not np.isfinite(score)
        trial = optuna.trial.create_trial(
            state=optuna.trial.TrialState.FAIL if failed else optuna.trial.TrialState.COMPLETE,
            value=None if failed else score,
            params={f"block {stage}": block for stage, block in enumerate(chosen[:stages], start=1)},
            distributions=distributions,
            user_attrs=_attributes(run, number),
        )
        trial.datetime_start = _local(start, float(run.started[number]))
        trial.datetime_complete = _local(start, float(run.seconds[number]))
        trials.append(trial)
    return trials


def _local(start: datetime, seconds: float) -> datetime:
    """Optuna keeps local times without a zone."""
    return (start + timedelta(seconds=seconds)).astimezone().replace(tzinfo=None)


def _attributes(run: Run, number: int) -> dict[str, Any]:
    numbers = {
        "evaluations": run.evaluations[number],
        "validation regret of the incumbent": run.val_regret[number],
        "test regret of the incumbent": run.test_regret[number],
    }
    return {
        "architecture": run.architectures[number],
        "code": int(run.codes[number]),
        "epoch": int(run.epochs[number]),
        "replicate": int(run.replicates[number]),
        "status": run.statuses[number],
        **{key: float(value) for key, value in numbers.items() if np.isfinite(value)},
    }
