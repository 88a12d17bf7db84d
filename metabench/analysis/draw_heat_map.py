"""Figure: median loss of each searcher on each task."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metabench.analysis.drawing import new_figure

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_heat_map"]


def draw_heat_map(document: dict[str, Any]) -> Figure:
    """Numbers are points; colours run from the best (dark) to the worst searcher (light) within each task."""
    searchers, tasks = document["searchers"], [task["label"] for task in document["tasks"]]
    values = np.full((len(searchers), len(tasks)), np.nan)
    for row in document["leaderboard"]:
        if row["test"]["median"] is not None:  # so it is a searcher with a run
            values[searchers.index(row["searcher"]), tasks.index(row["task"])] = 100 * row["test"]["median"]
    known = ~np.isnan(values)
    low, high = np.where(known, values, np.inf).min(axis=0), np.where(known, values, -np.inf).max(axis=0)
    with np.errstate(invalid="ignore", divide="ignore"):
        shade = np.where(high > low, (high - values) / (high - low), 1.0)
    figure = new_figure(2.2 + 1.15 * len(tasks), 0.9 + 0.32 * len(searchers))
    axes = figure.subplots()
    axes.imshow(np.where(known, shade, np.nan), cmap="Blues", vmin=-0.1, vmax=1.6, aspect="auto")
    for i in range(len(searchers)):
        for j in range(len(tasks)):
            best = known[i, j] and values[i, j] == low[j]
            text = f"{values[i, j]:.3g}" if known[i, j] else "no run"
            axes.text(j, i, text, ha="center", va="center", fontsize=8, fontweight="bold" if best else "normal")
    axes.set_xticks(range(len(tasks)), [task.replace("/", "/\n") for task in tasks], fontsize=8)
    axes.set_yticks(range(len(searchers)), searchers, fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.xaxis.tick_top()
    return figure
