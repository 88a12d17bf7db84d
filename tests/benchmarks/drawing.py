"""The figures of gradient error against cost."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl

mpl.use("Agg")
from matplotlib import pyplot as plt
from matplotlib.axes import Axes
from matplotlib.ticker import LogLocator, NullFormatter

Point = dict[str, Any]
Style = tuple[str, str, str]  # colour, marker, line

# Okabe and Ito's palette; colour tells the way back, marker the solver, dashes the peers.
_BLUE, _ORANGE, _GREEN, _RED, _PURPLE, _SKY, _BLACK, _GREY = (
    "#0072B2", "#E69F00", "#009E73", "#D55E00", "#CC79A7", "#56B4E9", "#000000", "#7F7F7F",
)  # fmt: skip
_EQUILIBRIA: dict[str, Style] = {
    "Picard + Implicit": (_BLUE, "o", "-"),
    "Anderson + Implicit": (_BLUE, "s", "-"),
    "Broyden + Implicit": (_BLUE, "^", "-"),
    "Chord + Implicit": (_BLUE, "v", "-"),
    "Anderson + ImplicitDense": (_GREEN, "s", "-"),
    "Newton + ImplicitDense": (_GREEN, "D", "-"),
    "Picard + Unrolled": (_ORANGE, "o", "-"),
    "Picard + Truncated": (_PURPLE, "o", "-"),
    "Picard + Phantom": (_SKY, "o", "-"),
    "Picard + JacobianFree": (_RED, "o", "-"),
    "torchdeq fixed_point_iter, ift": (_GREY, "o", "--"),
    "torchdeq anderson, ift": (_GREY, "s", "--"),
    "torchdeq broyden, ift": (_GREY, "^", "--"),
}
_ODES: dict[str, Style] = {
    "Tsit5 + Backprop": (_BLUE, "o", "-"),
    "Dopri5 + Backprop": (_BLUE, "s", "-"),
    "Bosh3 + Backprop": (_BLUE, "^", "-"),
    "RungeKutta4 + Backprop": (_BLUE, "D", "-"),
    "Tsit5 + Checkpointed": (_ORANGE, "o", "-"),
    "Tsit5 + ContinuousAdjoint": (_RED, "o", "-"),
    "Dopri5 + ContinuousAdjoint": (_RED, "s", "-"),
    "torchdiffeq dopri5": (_GREY, "s", "--"),
    "torchdyn tsit5": (_GREY, "o", "--"),
}
_RC = {
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.color": "#e5e5e5",
    "legend.frameon": False,
}


def _cost(point: Point, what: str) -> float:
    return point["ms"] if what == "ms" else point["evaluations"] + point["products"]


def _curves(axes: Axes, points: Sequence[Point], styles: Mapping[str, Style], what: str) -> None:
    for name, (colour, marker, line) in styles.items():
        chosen = sorted((p for p in points if p["curve"] == name), key=lambda p: -p["tolerance"])
        if chosen:
            axes.plot(
                [_cost(p, what) for p in chosen],
                [p["gradient_error"] for p in chosen],
                color=colour, marker=marker, linestyle=line, markersize=4.5, linewidth=1.3, label=name,
            )  # fmt: skip
    axes.set(xscale="log", yscale="log")
    axes.yaxis.set_major_locator(LogLocator(numticks=12))
    axes.yaxis.set_minor_formatter(NullFormatter())
    axes.set_xlabel("CPU time, forward and backward [ms]" if what == "ms" else "evaluations + vector-Jacobian products")


def _finish(figure: Any, axes: Sequence[Axes], styles: Mapping[str, Style], columns: int, path: Path) -> None:
    lines: dict[str, Any] = {}
    for one in axes:
        lines |= dict(zip(*reversed(one.get_legend_handles_labels()), strict=True))
    kept = [name for name in styles if name in lines]
    figure.legend([lines[name] for name in kept], kept, loc="outside lower center", ncols=columns, fontsize=9)
    figure.savefig(path, dpi=130)
    plt.close(figure)


def draw_equilibria(cases: Mapping[str, Sequence[Point]], path: Path) -> None:
    """Two equilibria (columns), by time and by evaluations (rows)."""
    with plt.rc_context(_RC):
        figure, grid = plt.subplots(2, 2, figsize=(8.4, 8.2), sharey="col", layout="constrained")
        titles = {"deq": "contracts well (spectral radius 0.45)", "deq-slow": "contracts slowly (0.94, symmetric)"}
        for column, (name, title) in enumerate(titles.items()):
            for row, what in enumerate(("ms", "nfe")):
                axes = grid[row][column]
                _curves(axes, cases[name], _EQUILIBRIA, what)
                if row == 0:
                    axes.set_title(title)
                if column == 0:
                    axes.set_ylabel("relative error of the gradient")
        _finish(figure, list(grid.flat), _EQUILIBRIA, 3, path)


def draw_odes(cases: Mapping[str, Sequence[Point]], path: Path) -> None:
    """The ODE, by time and by evaluations."""
    with plt.rc_context(_RC):
        figure, grid = plt.subplots(1, 2, figsize=(8.4, 4.7), sharey=True, layout="constrained")
        for axes, what in zip(grid, ("ms", "nfe"), strict=True):
            _curves(axes, cases["ode"], _ODES, what)
        grid[0].set_ylabel("relative error of the gradient")
        _finish(figure, list(grid), _ODES, 3, path)
