"""Figures: the critical-difference diagram, and mean ranks over the search."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metabench.analysis.drawing import look, new_figure, set_log_axis, style

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["draw_critical_difference", "draw_rank_curves"]

_LEVEL = 0.32  # height of one level of bars or labels, in the axis's own unit


def draw_critical_difference(document: dict[str, Any]) -> Figure:
    """Mean ranks on a line, names at elbows on both sides, a bar over each clique that cannot be told apart.

    Reference:
        Demsar (2006), Statistical comparisons of classifiers over multiple data sets, JMLR 7, for the diagram; its bars
        are here Wilcoxon-Holm's cliques.
    """
    ranking, names = document["ranking"], document["searchers"]
    ranks, bars = ranking["mean_ranks"], ranking["cliques"] or []
    order = sorted(range(len(names)), key=lambda i: ranks[i])
    half = (len(names) + 1) // 2
    lowest = _LEVEL * (len(bars) + half + 1.2)
    figure = new_figure(7.0, 0.75 + 0.75 * lowest)
    axes = figure.subplots()
    count = len(names)
    side = 0.06 * (count - 1)
    for place, i in enumerate(order):
        left = place < half
        level = place if left else count - 1 - place
        y = -_LEVEL * (len(bars) + 1 + level)
        end = 1 - side if left else count + side
        axes.plot([ranks[i], ranks[i], end], [0, y, y], color=look(i)["color"], linewidth=1.4, solid_joinstyle="miter")
        gap = -0.02 if left else 0.02
        text = f"{names[i]}  {ranks[i]:.2f}" if left else f"{ranks[i]:.2f}  {names[i]}"
        axes.text(end + gap * (count - 1), y, text, ha="right" if left else "left", va="center", fontsize=9)
    for level, bar in enumerate(bars):
        ends, y = [ranks[bar[0]], ranks[bar[-1]]], -_LEVEL * (level + 0.75)
        pad = 0.012 * (count - 1)
        axes.plot([ends[0] - pad, ends[1] + pad], [y, y], color="black", linewidth=4, solid_capstyle="round", zorder=3)
    _rank_line(axes, count)
    axes.set_ylim(-lowest, 0.05)
    axes.set_xlim(1 - 0.62 * (count - 1), count + 0.62 * (count - 1))
    return figure


def _rank_line(axes: Axes, count: int) -> None:
    """The axis of ranks on top, drawn by hand: only from 1 to the number of searchers."""
    axes.plot([1, count], [0, 0], color="black", linewidth=1)
    for rank in range(1, count + 1):
        axes.plot([rank, rank], [0, 0.08], color="black", linewidth=1, clip_on=False)
        axes.text(rank, 0.13, str(rank), ha="center", va="bottom", fontsize=9)
    axes.set_axis_off()


def draw_rank_curves(document: dict[str, Any]) -> Figure:
    """Mean rank of each searcher over evaluations and, where clocks can be compared, over simulated time."""
    ranking = document["ranking"]
    wanted = {"Evaluations (full trainings)": ranking["over_evaluations"]}
    if ranking["over_time"]:
        wanted["Simulated time (share of a run's)"] = ranking["over_time"]
    figure = new_figure(4.6 * len(wanted), 3.6)
    panels = np.atleast_1d(figure.subplots(1, len(wanted), sharey=True))
    for axes, (label, over) in zip(panels, wanted.items(), strict=True):
        for number, searcher in enumerate(document["searchers"]):
            axes.step(
                over["x"], over["mean_ranks"][number], where="post", label=searcher, linewidth=1.6, **look(number)
            )
        set_log_axis(axes, label)
        style(axes)
    panels[0].set_ylim(len(document["searchers"]) + 0.1, 0.9)
    panels[0].set_ylabel("Mean rank (1 is best)")
    handles, labels = panels[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8, handlelength=2.6)
    return figure
