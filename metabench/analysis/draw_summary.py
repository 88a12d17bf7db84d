"""Figures: interquartile means with intervals, performance profiles, probability of improvement."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metabench.analysis.drawing import look, new_figure, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_improvement", "draw_means", "draw_profiles"]


def draw_means(document: dict[str, Any]) -> Figure | None:
    """Interquartile means with bootstrap intervals, best on top; None if none is finite."""
    names, summary = document["searchers"], document["summary"]
    unit = 1 if summary["scaled"] else 100
    found = [(i, mean) for i, mean in enumerate(summary["interquartile_means"]) if mean["value"] is not None]
    if not found:
        return None
    found.sort(key=lambda item: -item[1]["value"])
    figure = new_figure(5.6, 0.9 + 0.28 * len(found))
    axes = figure.subplots()
    for place, (i, mean) in enumerate(found):
        color = look(i)["color"]
        if mean["lower"] is not None:
            ends = [unit * mean["lower"], unit * mean["upper"]]
            axes.plot(ends, [place, place], color=color, alpha=0.35, linewidth=6, solid_capstyle="round")
        axes.plot([unit * mean["value"]], [place], "o", color=color, markersize=5.5)
    axes.set_yticks(range(len(found)), [names[i] for i, _ in found])
    axes.set_ylim(-0.7, len(found) - 0.3)
    axes.set_xlim(left=0)
    axes.set_xlabel(_regret(summary))
    style(axes)
    axes.grid(False, axis="y")
    return figure


def draw_profiles(document: dict[str, Any]) -> Figure | None:
    """Share of runs at or below each regret, with pointwise intervals for few searchers; None if all regrets are 0."""
    from matplotlib.ticker import MaxNLocator

    summary = document["summary"]
    thresholds = np.array(summary["thresholds"], dtype=float) * (1 if summary["scaled"] else 100)
    if len(thresholds) < 2:
        return None
    figure = new_figure(5.4, 3.6 if len(document["searchers"]) <= 5 else 4.2)
    axes = figure.subplots()
    for number, searcher in enumerate(document["searchers"]):
        profile = summary["profiles"][number]
        if profile["lower"] is not None and len(document["searchers"]) <= 5:
            color = look(number)["color"]
            axes.fill_between(
                thresholds, profile["lower"], profile["upper"], step="post", color=color, alpha=0.14, lw=0
            )
        axes.step(thresholds, profile["share"], where="post", label=searcher, linewidth=1.6, **look(number))
    axes.set_xscale("symlog", linthresh=thresholds[1], linscale=0.4)
    decades = 10.0 ** np.arange(np.ceil(np.log10(1.5 * thresholds[1])), np.log10(thresholds[-1]) + 1e-9)
    axes.set_xticks([0.0, *(decades if len(decades) > 1 else MaxNLocator(4).tick_values(0, thresholds[-1])[1:-1])])
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.2g}")
    axes.minorticks_off()
    axes.set_xlim(0, thresholds[-1])
    axes.set_ylim(0, 1.01)
    axes.set_xlabel(_regret(summary))
    axes.set_ylabel("Share of runs at or below it")
    style(axes)
    if len(document["searchers"]) <= 5:
        axes.legend(frameon=False, fontsize=8, handlelength=2.6)
    else:
        figure.legend(loc="outside lower center", ncols=3, frameon=False, fontsize=8, handlelength=2.6)
    return figure


def draw_improvement(document: dict[str, Any]) -> Figure:
    """Probability that the row's run ends better than the column's; bold where its interval leaves out one half."""
    names, table = document["searchers"], document["summary"]["improvement"]
    values = np.array([[np.nan if cell is None else cell["value"] for cell in row] for row in table])
    size = 1.6 + 0.46 * len(names)
    figure = new_figure(size + 1.0, size)
    axes = figure.subplots()
    axes.imshow(values, cmap="PuOr", vmin=-0.25, vmax=1.25)
    for i, row in enumerate(table):
        for j, cell in enumerate(row):
            if cell is None:
                continue
            certain = cell["lower"] is not None and (cell["lower"] > 0.5 or cell["upper"] < 0.5)
            weight = "bold" if certain else "normal"
            axes.text(j, i, f"{100 * cell['value']:.0f}", ha="center", va="center", fontsize=8, fontweight=weight)
    axes.set_xticks(range(len(names)), names, rotation=40, ha="right", rotation_mode="anchor", fontsize=8)
    axes.set_yticks(range(len(names)), names, fontsize=8)
    axes.spines[:].set_visible(False)
    axes.tick_params(length=0)
    axes.set_title("Row ends better than column (%)", loc="left", fontsize=9)
    return figure


def _regret(summary: dict[str, Any]) -> str:
    measure = summary["measure"]
    return (
        f"Scaled test {measure} (1: the median architecture's)"
        if summary["scaled"]
        else f"Test {measure} (percentage points)"
    )
