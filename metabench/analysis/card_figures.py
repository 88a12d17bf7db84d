"""The figures of a table's card."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabench.analysis.drawing import PALETTE
from metabench.surrogate import Measurements
from metabench.surrogate.measurements import mean_of

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["save_card_figures"]

_MARKS = ("o", "s", "^", "D", "v", "P", "X")


def _figure(width: float, height: float) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _style(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=8)


def _plain_log(axes: Axes) -> None:
    """A logarithmic axis of plain numbers."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:g}")
    axes.xaxis.set_minor_formatter(NullFormatter())


def _grid(figure: Figure, tasks: list[str]) -> list[tuple[str, Axes]]:
    columns = min(len(tasks), 3)
    axes = figure.subplots(-(-len(tasks) // columns), columns, squeeze=False).ravel()
    for extra in axes[len(tasks) :]:
        extra.set_axis_off()
    for axis, task in zip(axes, tasks, strict=False):
        axis.set_title(task, loc="left", fontsize=9)
        _style(axis)
    return list(zip(tasks, axes, strict=False))


def _size(tasks: list[str], width: float, height: float) -> tuple[float, float]:
    columns = min(len(tasks), 3)
    return max(width * columns, 4.5), height * -(-len(tasks) // columns) + 0.3


def _scores(measured: Mapping[str, Measurements], tasks: list[str], path: Path) -> None:
    """Mean test score by the number of blocks, each dot an architecture."""
    figure = _figure(*_size(tasks, 3.2, 2.9))
    for task, axes in _grid(figure, tasks):
        data = measured[task]
        skip = data.blocks.index("skip") if "skip" in data.blocks else -1
        depth = (data.digits != skip).sum(axis=1)
        means = mean_of(data.values[:, :, -1, data.metrics.index("test_score")])
        jitter = (np.arange(len(means)) * 0.618034 % 1.0 - 0.5) * 0.7  # golden ratio: even, and the same each time
        axes.scatter(depth + jitter, 100 * means, s=5, color=PALETTE[0], alpha=0.45, linewidths=0)
        for d in np.unique(depth):
            here = means[(depth == d) & ~np.isnan(means)]
            if len(here):
                axes.plot([d - 0.4, d + 0.4], [100 * np.median(here)] * 2, color=PALETTE[1], linewidth=2)
        axes.set_xticks(np.unique(depth))
        axes.set_xlabel("blocks", fontsize=8)
        axes.set_ylabel("test score (%)", fontsize=8)
    figure.suptitle("Architectures by their number of blocks (bar: median)", x=0.01, ha="left", fontsize=11)
    figure.savefig(path, metadata={"Software": None})


def _epochs(card: Mapping[str, Any], tasks: list[str], path: Path) -> None:
    """How well the order at an epoch tells the order at the end, beside what two seeds agree on."""
    figure = _figure(5.6, 3.6)
    axes = figure.subplots()
    for i, task in enumerate(tasks):
        taus = {int(e): tau for e, tau in card["tasks"][task]["epoch_to_final_kendall_tau"].items() if tau is not None}
        color = PALETTE[i % len(PALETTE)]
        axes.plot(
            list(taus), list(taus.values()), color=color, marker=_MARKS[i % len(_MARKS)], markersize=4, label=task
        )
        seeds = card["tasks"][task]["seed_kendall_tau"]
        if seeds is not None:
            axes.axhline(seeds, color=color, linestyle=(0, (2, 2)), linewidth=1)
    _plain_log(axes)
    axes.set_xlabel("epoch")
    axes.set_ylabel("Kendall's tau with the last epoch")
    axes.set_title("dotted: one seed against another, at the last epoch", loc="left", fontsize=8, color="#555555")
    _style(axes)
    axes.legend(frameon=False, fontsize=8)
    figure.suptitle("What early epochs tell", x=0.01, ha="left", fontsize=11)
    figure.savefig(path, metadata={"Software": None})


def _effects(card: Mapping[str, Any], tasks: list[str], path: Path) -> None:
    """Effects of replacements over all stages, one colour a depth, with intervals."""
    shown = {
        task: [e for e in card["tasks"][task]["effects"] if e["stage"] is None]
        for task in tasks
        if card["tasks"][task].get("effects")
    }
    if not shown:
        return
    labels = list(dict.fromkeys((e["before"], e["after"]) for found in shown.values() for e in found))
    height = 0.34 * len(labels) + 1.0
    figure = _figure(2.6 + 2.7 * len(shown), height)
    axes = figure.subplots(1, len(shown), sharey=True, squeeze=False)[0]
    depths = sorted({e["depth"] for found in shown.values() for e in found})
    for axis, (task, found) in zip(axes, shown.items(), strict=True):
        for e in found:
            place = depths.index(e["depth"])
            y = labels.index((e["before"], e["after"])) + 0.24 * (place - (len(depths) - 1) / 2)
            color = PALETTE[place % len(PALETTE)]
            if e["low"] is not None:
                axis.plot([100 * e["low"], 100 * e["high"]], [y, y], color=color, linewidth=1.6)
            axis.plot([100 * e["mean"]], [y], marker=_MARKS[place], color=color, markersize=4)
        axis.axvline(0, color="#555555", linewidth=0.8)
        axis.set_title(task, loc="left", fontsize=9)
        axis.set_xlabel("change of test score (points)", fontsize=8)
        _style(axis)
    axes[0].set_yticks(range(len(labels)), [f"{a} \u2192 {b}" for a, b in labels], fontsize=8)
    axes[0].set_ylim(len(labels) - 0.4, -0.6)
    for place, depth in enumerate(depths):
        axes[0].plot(
            [], [], color=PALETTE[place % len(PALETTE)], marker=_MARKS[place], label=f"{depth} block{'s' * (depth > 1)}"
        )
    figure.legend(
        *axes[0].get_legend_handles_labels(), loc="outside lower left", ncols=len(depths), frameon=False, fontsize=8
    )
    figure.suptitle("One block replaced, all else kept: mean and 95% interval", x=0.01, ha="left", fontsize=11)
    figure.savefig(path, metadata={"Software": None})


def _surrogates(card: Mapping[str, Any], tasks: list[str], path: Path) -> bool:
    """Learning curves of the surrogates under the ceiling that noise sets."""
    have = [task for task in tasks if card["tasks"][task].get("surrogate")]
    if not have:
        return False
    figure = _figure(*_size(have, 3.2, 2.9))
    for task, axes in _grid(figure, have):
        for i, (model, found) in enumerate(card["tasks"][task]["surrogate"].items()):
            curve = [point for point in found["learning_curve"] if point["kendall_tau"] is not None]
            if not curve:
                continue
            x, y = [point["train"] for point in curve], [point["kendall_tau"] for point in curve]
            axes.plot(x, y, color=PALETTE[i], marker=_MARKS[i], markersize=4, label=model)
            ceiling = found["cross_validation"]["last_epoch"]["test_score"]["kendall_tau_ceiling"]
            if i == 0 and ceiling is not None:
                axes.axhline(ceiling, color="#555555", linestyle=(0, (2, 2)), label="noise ceiling")
        _plain_log(axes)
        axes.set_xlabel("architectures fitted to", fontsize=8)
        axes.set_ylabel("Kendall's tau, held out", fontsize=8)
        axes.legend(frameon=False, fontsize=7, loc="lower right")
    figure.suptitle("Surrogates by what they have seen", x=0.01, ha="left", fontsize=11)
    figure.savefig(path, metadata={"Software": None})
    return True


def save_card_figures(card: Mapping[str, Any], measured: Mapping[str, Measurements], folder: Path) -> list[Path]:
    """Draws a card into ``folder``; tasks of which too little is measured are left out.

    Returns:
        The PNG files.
    """
    tasks = [task for task in card["tasks"] if "reliability" in card["tasks"][task]]
    if not tasks:
        return []
    folder.mkdir(parents=True, exist_ok=True)
    paths = {name: folder / f"{name}.png" for name in ("scores", "epochs", "effects", "surrogates")}
    _scores(measured, tasks, paths["scores"])
    _epochs(card, tasks, paths["epochs"])
    _effects(card, tasks, paths["effects"])
    if not _surrogates(card, tasks, paths["surrogates"]):
        paths.pop("surrogates")
    return [path for path in paths.values() if path.is_file()]
