"""Section of a report: validation and test loss of the incumbent over evaluations and simulated seconds."""

from __future__ import annotations

from typing import Any

import numpy as np

from metabench.analysis.comparison import Comparison, Split
from metabench.analysis.curves import Axis, band
from metabench.analysis.rounding import rounded
from metabench.analysis.statistics import step_values

__all__ = ["anytime_section", "thinned"]

_CURVE_DIGITS = 4
_ROUND_NUMBERS = (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000, 5000, 10_000)


def anytime_section(comparison: Comparison) -> list[dict[str, Any]]:
    """For each task the curves of each searcher: ``curves[axis][split][searcher]``, and rows of the table behind."""
    axes: tuple[Axis, ...] = ("evaluations", "seconds") if comparison.clock is not None else ("evaluations",)
    splits: tuple[Split, ...] = ("test", "val")
    section = []
    for task in comparison.tasks:
        curves: dict[str, Any] = {}
        tables: dict[str, Any] = {}
        for axis in axes:
            found = {
                split: {searcher: band(comparison, searcher, task, axis, split) for searcher in comparison.searchers}
                for split in splits
            }
            curves[axis] = {
                split: {searcher: thinned(*curve) for searcher, curve in by_searcher.items()}
                for split, by_searcher in found.items()
            }
            tables[axis] = _table(found["test"])
        section.append({"task": task.label, "measure": task.measure, "curves": curves, "tables": tables})
    return section


def thinned(grid: np.ndarray, quartile_rows: np.ndarray) -> dict[str, Any] | None:
    """A step function by its steps: points at which nothing changes are left out, the last one is kept."""
    known = np.isfinite(quartile_rows).all(axis=0)
    grid, quartile_rows = grid[known], quartile_rows[:, known]
    if not len(grid):
        return None
    values = np.array(rounded(quartile_rows, _CURVE_DIGITS), dtype=float)
    kept = np.ones(len(grid), dtype=bool)
    kept[1:-1] = (np.diff(values, axis=1) != 0).any(axis=0)[:-1]
    lower, median, upper = values[:, kept]
    return rounded({"x": grid[kept], "lower": lower, "median": median, "upper": upper}, _CURVE_DIGITS)


def _table(curves: dict[str, tuple[np.ndarray, np.ndarray]]) -> dict[str, Any]:
    """Medians and quartiles at round numbers of the axis, as far as any curve goes."""
    ends = [grid[-1] for grid, _ in curves.values() if len(grid)]
    starts = [grid[0] for grid, _ in curves.values() if len(grid)]
    if not ends:
        return {"at": [], "rows": {}}
    at = [number for number in _ROUND_NUMBERS if min(starts) <= number < max(ends)] + [float(max(ends))]
    rows = {}
    for searcher, (grid, values) in curves.items():
        if len(grid):
            # Past its own end a curve has no value here: a run there would have gone on.
            points = np.array([point if point <= grid[-1] * (1 + 1e-9) else -1.0 for point in at])
            rows[searcher] = rounded(np.array([step_values(grid, row, points) for row in values]).T, _CURVE_DIGITS)
    return {"at": rounded(at, _CURVE_DIGITS), "rows": rows}
