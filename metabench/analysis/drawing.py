"""The look that all figures for papers share, by matplotlib without its global state."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["PALETTE", "look", "new_figure", "plain", "save", "set_log_axis", "set_regret_axis", "style"]

# Okabe and Ito (2008): told apart with every common colour blindness. Line styles repeat the difference for grey print.
PALETTE = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9", "#000000")
_STYLES = ("-", (0, (5, 1.5)), (0, (1.2, 1.2)), (0, (5, 1.5, 1.2, 1.5)))

_ZERO = 1e-9
_MOST_DECADES = 2.7  # with three numbers a decade, more would touch


def look(number: int) -> dict[str, Any]:
    """Colour and line style of the searcher with this place in the list; 28 differ."""
    return {"color": PALETTE[number % len(PALETTE)], "linestyle": _STYLES[number % len(_STYLES)]}


def new_figure(width: float, height: float) -> Figure:
    """An empty figure (inches) with a canvas of its own."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def save(figure: Figure, folder: Path, stem: str, *, for_print: bool = True) -> list[Path]:
    """Writes ``stem.png`` and, for print, ``stem.pdf``; the same figure gives the same bytes."""
    from matplotlib import rc_context

    folder.mkdir(parents=True, exist_ok=True)
    png, pdf = folder / f"{stem}.png", folder / f"{stem}.pdf"
    figure.savefig(png, metadata={"Software": None})
    if not for_print:
        return [png]
    with rc_context({"pdf.fonttype": 42}):  # TrueType: publishers refuse matplotlib's default Type 3
        figure.savefig(pdf, metadata={"CreationDate": None})
    return [png, pdf]


def style(axes: Axes) -> None:
    """Open frame and a quiet grid behind the data."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, which="major", color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=9)


def set_log_axis(axes: Axes, label: str) -> None:
    """A logarithmic horizontal axis for what is drawn: plain numbers at 1, 2 and 5, or at 1 alone if they are many."""
    from matplotlib.ticker import LogLocator, NullFormatter

    axes.set_xscale("log")
    axes.set_xlabel(label)
    low, high = axes.get_xlim()
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0) if high < 10**_MOST_DECADES * low else (1.0,)))
    axes.xaxis.set_major_formatter(plain)
    axes.xaxis.set_minor_formatter(NullFormatter())


def set_regret_axis(axes: Axes, values: Sequence[float]) -> None:
    """Logarithmic; linear below the smallest positive regret if some are 0, so that these stay on the page.

    Args:
        axes: its vertical axis.
        values: all finite values that are drawn.
    """
    from matplotlib.ticker import LogLocator, NullFormatter

    positive = [value for value in values if value > _ZERO]
    if not positive:
        return
    if len(positive) < len(values):
        threshold = 10 ** np.floor(np.log10(max(min(positive), 0.01 * max(positive))))
        axes.set_yscale("symlog", linthresh=threshold, linscale=0.4)
        axes.set_ylim(-0.1 * threshold, 1.15 * max(positive))  # a line at 0 shows in full
    else:
        axes.set_yscale("log")
        axes.set_ylim(min(positive) / 1.15, 1.15 * max(positive))
        if max(positive) < 100 * min(positive):
            axes.yaxis.set_major_locator(LogLocator(subs=(1.0, 2.0, 5.0)))
        axes.yaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_major_formatter(plain)


def plain(value: float, _position: object = None) -> str:
    """A number as matplotlib's tick formatters want it: no powers of ten."""
    return f"{value:,.6g}"
