"""Section of a report: one line for each searcher and task, and the heat map of all pairs."""

from __future__ import annotations

from typing import Any

import numpy as np

from metabench.analysis.aggregate import bootstrap_interval, interquartile_mean
from metabench.analysis.comparison import Comparison, Task, final_losses
from metabench.analysis.statistics import quartiles
from metabench.seeding import numpy_generator

__all__ = ["leaderboard_section"]


def leaderboard_section(comparison: Comparison) -> list[dict[str, Any]]:
    """Rows by task, best median first; a pair of which no run is finished has a row too, without numbers."""
    rows = []
    for task in comparison.tasks:
        searchers = [searcher for searcher, label in comparison.cells if label == task.label]
        rows += sorted((_row(comparison, searcher, task) for searcher in searchers), key=_last_without_median)
    return rows


def _row(comparison: Comparison, searcher: str, task: Task) -> dict[str, Any]:
    """Losses are in score units, times in seconds; ``interval`` belongs to the interquartile mean."""
    cell = comparison.cells[searcher, task.label]
    losses = final_losses(comparison, searcher, task)
    finite = losses[np.isfinite(losses)]
    interval = None
    if len(losses):
        interval = bootstrap_interval([losses], interquartile_mean, numpy_generator("row", searcher, task.label))
    val = final_losses(comparison, searcher, task, "val")
    trials = [len(run.codes) for run in cell.runs]
    return {
        "searcher": searcher,
        "task": task.label,
        "measure": task.measure,
        "runs": len(cell.runs),
        "planned": cell.planned,
        "failed": int(np.isinf(losses).sum()),
        "test": quartiles(finite)._asdict(),
        "val": quartiles(val[np.isfinite(val)])._asdict(),
        "interval": None if interval is None else interval._asdict(),
        "seconds": _median([run.seconds[-1] for run in cell.runs]),
        "overhead_per_trial": _median([run.overhead / len(run.codes) for run in cell.runs]),
        "trials": _median(trials),
        "partial": any(len(set(run.epochs.tolist())) > 1 for run in cell.runs),
    }


def _median(values: list[Any]) -> float | None:
    return float(np.median(values)) if values else None


def _last_without_median(row: dict[str, Any]) -> float:
    median = row["test"]["median"]
    return np.inf if median is None else median
