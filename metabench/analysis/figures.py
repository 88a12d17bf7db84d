"""The regret figure that a search leaves in its run folder."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabench.analysis.drawing import PALETTE, look, new_figure, set_log_axis, set_regret_axis, style
from metabench.analysis.statistics import held_curves, quartile_curves, step_values

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["PALETTE", "save_regret_figure"]

_POINTS = 400

Runs = Sequence[Sequence[Mapping[str, Any]]]


def save_regret_figure(runs: Mapping[str, Runs], title: str, path: Path) -> bool:
    """Draws test regret against evaluations and against simulated time: median and interquartile band over runs.

    Args:
        runs: searcher -> its runs, each a list of trials as :func:`metabench.searchers.loop.run_loop` gives them. A
            run in which every training failed is left out.
        title: of the figure.
        path: PNG to write.

    Returns:
        Whether a figure was written: not if there is no run with an incumbent.
    """
    runs = {
        searcher: kept
        for searcher, found in runs.items()
        if (kept := [run for run in found if np.isfinite(_regrets(run)).any()])
    }
    if not runs:
        return False
    figure = new_figure(9.0, 3.9)
    left, right = figure.subplots(1, 2, sharey=True)
    drawn: list[float] = []
    for number, (searcher, found) in enumerate(runs.items()):
        length = max(len(run) for run in found)
        bands = 100 * quartile_curves(held_curves([_regrets(run) for run in found], length))
        drawn += _draw(left, np.arange(1, length + 1), bands, searcher, look(number))
        clocks = [np.array([trial["simulated_seconds"] for trial in run]) for run in found]
        first, last = max(clock[0] for clock in clocks), float(np.median([clock[-1] for clock in clocks]))
        if 0 < first < last:
            grid = np.geomspace(first, last, _POINTS)
            curves = [step_values(clock, _regrets(run), grid) for clock, run in zip(clocks, found, strict=True)]
            drawn += _draw(right, grid, 100 * quartile_curves(np.array(curves)), searcher, look(number))
    for axes, label in ((left, "Evaluations"), (right, "Simulated time (CPU seconds of training)")):
        set_log_axis(axes, label)
        style(axes)
    set_regret_axis(left, drawn)
    left.set_ylabel("Test regret (percentage points)")
    count = sorted({len(found) for found in runs.values()})
    left.legend(frameon=False, loc="lower left", handlelength=2.6)
    seeds = f"{count[0]}" if len(count) == 1 else f"{count[0]} to {count[-1]}"
    figure.suptitle(f"{title}: regret of the incumbent", x=0.01, ha="left", fontsize=12, fontweight="bold")
    left.set_title(f"median and interquartile band over {seeds} seeds", loc="left", fontsize=9, color="#555555")
    figure.savefig(path, metadata={"Software": None})
    return True


def _regrets(run: Sequence[Mapping[str, Any]]) -> np.ndarray:
    return np.array([np.nan if trial["test_regret"] is None else trial["test_regret"] for trial in run], dtype=float)


def _draw(axes: Axes, x: np.ndarray, bands: np.ndarray, label: str, line: dict[str, Any]) -> list[float]:
    lower, median, upper = bands
    axes.fill_between(x, lower, upper, step="post", color=line["color"], alpha=0.16, linewidth=0)
    axes.step(x, median, where="post", label=label, linewidth=1.8, **line)
    return [float(value) for value in bands[np.isfinite(bands)]]
