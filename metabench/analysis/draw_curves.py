"""Figure: loss of the incumbent against evaluations and simulated time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from metabench.analysis.drawing import look, new_figure, set_log_axis, set_regret_axis, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_curves", "draw_curves_of_tasks"]

_MOST_BANDS = 5
_EVALUATIONS = "Evaluations (full trainings)"


def draw_curves(entry: dict[str, Any], document: dict[str, Any], *, note: str = "") -> Figure | None:
    """Medians over seeds of one task, with interquartile bands where they do not hide each other; None without a curve.

    Args:
        entry: of the task, out of ``document["anytime"]``.
        document: of the report; its ``searchers`` and ``clock`` are read.
        note: behind the title, in grey.
    """
    axes_of = {axis: curves["test"] for axis, curves in entry["curves"].items() if any(curves["test"].values())}
    if not axes_of:
        return None
    figure = new_figure(4.8 * len(axes_of), 3.6)
    panels = np.atleast_1d(figure.subplots(1, len(axes_of), sharey=True))
    drawn: list[float] = []
    for axes, (axis, curves) in zip(panels, axes_of.items(), strict=True):
        drawn += _draw_panel(axes, curves, document["searchers"])
        set_log_axis(axes, _EVALUATIONS if axis == "evaluations" else document["clock"])
        style(axes)
    set_regret_axis(panels[0], drawn)
    panels[0].set_ylabel(f"Test {entry['measure']} (percentage points)")
    panels[0].set_title(entry["task"], loc="left", fontsize=10)
    if note:
        panels[-1].set_title(note, loc="right", fontsize=9, color="#555555")
    many = len(document["searchers"]) > _MOST_BANDS
    handles, labels = panels[0].get_legend_handles_labels()
    if many:
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8, handlelength=2.6)
    else:
        panels[0].legend(frameon=False, loc="best", fontsize=9, handlelength=2.6)
    return figure


def draw_curves_of_tasks(document: dict[str, Any]) -> Figure | None:
    """The medians of every task against evaluations, a panel each, with one legend; None without a curve.

    Args:
        document: of the report; its ``searchers`` and ``anytime`` are read.
    """
    entries = [entry for entry in document["anytime"] if any(entry["curves"]["evaluations"]["test"].values())]
    if not entries:
        return None
    columns = min(3, len(entries))
    rows = -(-len(entries) // columns)
    figure = new_figure(3.3 * columns, 2.7 * rows + 0.6)
    panels = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes, entry in zip(panels, entries, strict=False):
        drawn = _draw_panel(axes, entry["curves"]["evaluations"]["test"], document["searchers"])
        set_log_axis(axes, _EVALUATIONS)
        style(axes)
        set_regret_axis(axes, drawn)
        axes.set_title(entry["task"], loc="left", fontsize=10)
        if axes in panels[::columns]:
            axes.set_ylabel(f"Test {entry['measure']} (points)")
    handles, labels = panels[0].get_legend_handles_labels()
    spare = panels[len(entries) :]
    for axes in spare:
        axes.set_axis_off()
    if len(spare):
        spare[0].legend(handles, labels, loc="center", frameon=False, fontsize=9, handlelength=2.6)
    else:
        figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8, handlelength=2.6)
    return figure


def _draw_panel(axes: Axes, curves: Mapping[str, Any], searchers: Sequence[str]) -> list[float]:
    """Draws the curves there are, with bands if they are few; returns the values that are drawn."""
    banded = len(searchers) <= _MOST_BANDS
    drawn: list[float] = []
    for number, searcher in enumerate(searchers):
        curve = curves[searcher]
        if curve is None:
            continue
        lower, median, upper = (100 * np.array(curve[key], dtype=float) for key in ("lower", "median", "upper"))
        if banded:
            axes.fill_between(curve["x"], lower, upper, step="post", color=look(number)["color"], alpha=0.16, lw=0)
        axes.step(curve["x"], median, where="post", label=searcher, linewidth=1.6, **look(number))
        drawn += [float(value) for value in (*((*lower, *upper) if banded else ()), *median)]
    return drawn
