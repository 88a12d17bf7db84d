"""Figure: test score against each cost, the Pareto front, and where searches ended."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from metabench.analysis.drawing import look, new_figure, set_log_axis, style

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["draw_fronts"]

_LABELS = {
    "nfe_forward": "Function evaluations, forward",
    "activation_bytes": "Activation memory (bytes a sample)",
    "params": "Parameters",
}
_MARKERS = ("o", "s", "^", "D")
_HIDDEN = 0.03  # the worst few would squeeze the rest into a line


def draw_fronts(entry: dict[str, Any], document: dict[str, Any]) -> Figure:
    """One panel a cost; the lowest 3 % of scores are below the frame.

    Args:
        entry: of the task, out of ``document["tradeoff"]``.
        document: of the report.
    """
    panels = entry["panels"]
    figure = new_figure(3.4 * len(panels), 3.5)
    all_axes = np.atleast_1d(figure.subplots(1, len(panels), sharey=True))
    for axes, panel in zip(all_axes, panels, strict=True):
        costs, scores = np.array(panel["cloud"]).T
        axes.plot(costs, scores, ".", color="#9aa1ab", markersize=3, alpha=0.6, zorder=1)
        front = panel["front"]
        x = [point["cost"] for point in front] + [panel["reference"]["cost"]]
        y = [point["score"] for point in front] + [front[-1]["score"]]
        axes.step(x, y, where="post", color="black", linewidth=1.2, zorder=2)
        for number, searcher in enumerate(document["searchers"]):
            ends = panel["searchers"][number]["incumbents"]
            axes.scatter(
                [point["cost"] for point in ends],
                [point["score"] for point in ends],
                s=[16 + 8 * point["runs"] for point in ends],
                marker=_MARKERS[number % len(_MARKERS)],
                color=look(number)["color"],
                edgecolor="white",
                linewidth=0.5,
                label=searcher,
                zorder=3,
            )
        name: str = panel["cost"]
        label = _LABELS.get(name, name)
        if costs.min() > 0 and costs.max() > 5 * costs.min():
            set_log_axis(axes, label)
        else:
            axes.set_xlabel(label)
        low, high = np.quantile(scores, _HIDDEN), scores.max()
        axes.set_ylim(low - 0.03 * (high - low), high + 0.06 * (high - low))
        style(axes)
    all_axes[0].set_ylabel("Test score (mean over replicates)")
    all_axes[0].set_title(entry["task"], loc="left", fontsize=10)
    handles, labels = all_axes[0].get_legend_handles_labels()
    legend = figure.legend(handles, labels, loc="outside lower center", ncols=4, frameon=False, fontsize=8)
    for handle in legend.legend_handles:  # their sizes on the plot say how many runs ended there
        handle.set_sizes([24.0])  # type: ignore[union-attr]
    return figure
