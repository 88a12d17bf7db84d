"""How the page writes its numbers: the filters of its templates."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

__all__ = ["FILTERS"]

_DASH = "\N{EN DASH}"
_COST_NAMES = {
    "nfe_forward": "Function evaluations, forward",
    "activation_bytes": "Activation memory",
    "params": "Parameters",
}


def _significant(value: float | None, digits: int = 3) -> str:
    if value is None:
        return _DASH
    if value != 0 and abs(value) < 1e-4:
        return f"{value:.1e}"
    return f"{float(f'{value:.{digits}g}'):,}".removesuffix(".0")


def _points(value: float | None) -> str:
    """A score difference in percentage points."""
    if value is None:
        return _DASH
    return f"{100 * value:.2f}" if value == 0 or abs(value) >= 1e-3 else f"{100 * value:.2g}"


def _interval(row: Mapping[str, Any], factor: float) -> Any:
    from markupsafe import Markup

    if row["lower"] is None or row["upper"] is None:
        return ""
    write = _points if factor == 100 else _significant
    return Markup(' <span class="spread">[{}, {}]</span>').format(write(row["lower"]), write(row["upper"]))


def _quartiles(row: Mapping[str, Any]) -> Any:
    from markupsafe import Markup

    spread = row["test"]
    if spread["median"] is None or row["runs"] < 2:
        return ""
    return Markup('<span class="spread">({} to {})</span>').format(_points(spread["lower"]), _points(spread["upper"]))


def _spread(cell: Sequence[float | None]) -> Any:
    from markupsafe import Markup

    lower, _, upper = cell
    if lower is None or lower == upper:
        return ""
    return Markup('<span class="spread">({} to {})</span>').format(_points(lower), _points(upper))


def _runs(row: Mapping[str, Any]) -> Any:
    """How many runs are finished, with a mark if some are missing or have no incumbent."""
    from markupsafe import Markup

    text = Markup("{}").format(row["runs"])
    missing = row["planned"] - row["runs"]
    if missing:
        text = Markup('{} of {}<span class="badge">{} missing</span>').format(row["runs"], row["planned"], missing)
    if row["failed"]:
        text += Markup('<span class="badge">{} without incumbent</span>').format(row["failed"])
    return text


def _duration(seconds: float | None) -> str:
    """A duration in the unit that reads best."""
    if seconds is None:
        return _DASH
    for limit, unit, size in ((1e-3, "µs", 1e-6), (1.0, "ms", 1e-3), (120.0, "s", 1.0), (7200.0, "min", 60.0)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 3600:,.1f} h"


def _count(value: float) -> str:
    return f"{value:,.4g}" if abs(value) < 1e4 else f"{value:,.0f}"


def _p_value(value: float) -> str:
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def _probability(cell: Mapping[str, Any]) -> Any:
    from markupsafe import Markup

    text = f"{100 * cell['value']:.0f}"
    certain = cell["lower"] is not None and (cell["lower"] > 0.5 or cell["upper"] < 0.5)
    return Markup("<b>{}</b>").format(text) if certain else text


def _share(cell: Mapping[str, float | None]) -> str:
    lower, median, upper = cell["lower"], cell["median"], cell["upper"]
    if lower is None or median is None or upper is None:
        return _DASH
    spread = "" if lower == upper else f" ({100 * lower:.1f} to {100 * upper:.1f})"
    return f"{100 * median:.1f}{spread}"


def _short_task(label: str, tasks: Sequence[Mapping[str, Any]]) -> str:
    """The task without its space, where there is only one space."""
    return label if len({task["space"] for task in tasks}) > 1 else label.partition("/")[2] or label


def _decimals(value: float | None, digits: int) -> str:
    return _DASH if value is None else f"{value:.{digits}f}"


FILTERS = {
    "blank": lambda value: "" if value is None else value,
    "cost_name": lambda name: _COST_NAMES.get(name, name),
    "count": _count,
    "decimals": _decimals,
    "duration": _duration,
    "hundred": lambda value: _DASH if value is None else f"{100 * value:.0f}",
    "interval": _interval,
    "moment": lambda text: text[:16].replace("T", " ") + " UTC",
    "p_value": _p_value,
    "points": _points,
    "probability": _probability,
    "quartiles": _quartiles,
    "runs": _runs,
    "shade_of_probability": lambda value: round(max(0.0, 2 * value - 1), 3),
    "share": _share,
    "short_task": _short_task,
    "significant": _significant,
    "spread": _spread,
}
"""Name in a template -> function."""
