"""Loss of the incumbent over evaluations or simulated seconds, for many runs on one grid."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

import numpy as np

from metabench.analysis.comparison import Comparison, Split, Task, loss_trace
from metabench.analysis.runs import Run
from metabench.analysis.statistics import quartile_curves, step_values

__all__ = ["Axis", "band", "band_of_runs", "evaluation_grid", "loss_curves", "time_grid", "time_label"]

Axis = Literal["evaluations", "seconds"]


def evaluation_grid(budget: int, points: int = 120) -> np.ndarray:
    """Whole evaluations from 1 to the budget: all of them up to ``points``, else about evenly spread in logarithm."""
    if budget <= points:
        return np.arange(1, budget + 1, dtype=float)
    return np.unique(np.round(np.geomspace(1, budget, 2 * points)))


def time_grid(runs: Sequence[Run], points: int = 100) -> np.ndarray:
    """Simulated seconds from when every run has finished a trial to the median end, evenly spread in logarithm."""
    first = max(run.seconds[0] for run in runs)
    last = float(np.median([run.seconds[-1] for run in runs]))
    return np.geomspace(first, last, points) if 0 < first < last else np.empty(0)


def time_label(clock: Mapping[str, Any] | None) -> str | None:
    """What a simulated second is, for an axis; None where clocks differ."""
    if clock is None:
        return None
    units = {"seconds": "CPU seconds of training", "flops": "seconds at 1 GFLOP/s", "epochs": "epochs"}
    unit = units.get(clock["clock"], f"{clock['clock']} clock")
    workers = clock["sim_workers"]
    return f"Simulated time ({unit})" if workers == 1 else f"Simulated time ({unit}, {workers} workers)"


def loss_curves(runs: Sequence[Run], grid: np.ndarray, axis: Axis, measure: str, split: Split) -> np.ndarray:
    """Loss of the incumbent of each run at each point of the grid, (runs, points); NaN before there is one."""
    rows = []
    for run in runs:
        times = run.evaluations if axis == "evaluations" else run.seconds
        # Fractions of trainings add up with rounding errors; a trial counts at the point it reaches on paper.
        rows.append(step_values(times - 1e-9, loss_trace(run, measure, split), grid))
    return np.array(rows)


def band(comparison: Comparison, searcher: str, task: Task, axis: Axis, split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Grid (points,), and quartiles over the runs that have an incumbent at last (3, points)."""
    runs = comparison.runs(searcher, task)
    budget = comparison.cells[searcher, task.label].budget if runs else 0
    return band_of_runs(runs, budget, axis, task.measure, split)


def band_of_runs(
    runs: Sequence[Run], budget: int, axis: Axis, measure: str, split: Split
) -> tuple[np.ndarray, np.ndarray]:
    """:func:`band` of runs that are at hand."""
    runs = [run for run in runs if run.incumbent is not None]
    if not runs:
        return np.empty(0), np.empty((3, 0))
    grid = evaluation_grid(budget) if axis == "evaluations" else time_grid(runs)
    return grid, quartile_curves(loss_curves(runs, grid, axis, measure, split))
