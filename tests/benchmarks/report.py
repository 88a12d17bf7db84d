"""What was measured, as a table in the terminal, as Markdown and as JSON."""

from __future__ import annotations

import math
import platform
from collections.abc import Sequence
from datetime import date
from importlib import metadata
from pathlib import Path
from typing import Any

from contest import Goal, Result, Row
from rich.console import Console
from rich.table import Table

_PACKAGES = (
    "torch", "torchdeq", "torchdiffeq", "torchode", "torchdyn", "qpth", "cvxpylayers", "cvxpy", "diffcp", "numpy",
)  # fmt: skip
BEGIN, END = "<!-- measured: begin (written by make bench-layers) -->", "<!-- measured: end -->"
_WORDS = {
    "floor": "at most {limit:g}x the floor",
    "speed-up": "at least {limit:g}x faster than {peer}",
    "ms": "at most {limit:g} ms",
    "value": "value error at most {limit:.0e}",
    "gradient": "gradient error at most {limit:.0e}",
}


def versions() -> dict[str, str]:
    """Releases of what is installed, metabench's own first."""
    found = {}
    for name in ("metabench", *_PACKAGES):
        try:
            found[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            found[name] = "not installed"
    return found


def setting() -> str:
    """When, on what, with what."""
    listed = ", ".join(f"{name} {version}" for name, version in versions().items())
    machine = platform.machine().replace("_", "-")
    return (
        f"Measured on {date.today():%d %B %Y} on one core of an {machine} cloud machine, Python "
        f"{platform.python_version()}, one thread: {listed}."
    )


def reached(goal: Goal, result: Result) -> tuple[float, bool]:
    """What was measured for a goal (NaN if it could not be), and whether it is reached."""
    ours = result.ours
    if ours is None:
        return math.nan, False
    if goal.quantity == "speed-up":
        best = result.best_peer(goal.peer)
        found = math.nan if best is None else best[0].median / ours.median
        return found, found >= goal.limit
    found = {
        "floor": ours.median / ours.floor,
        "ms": ours.median,
        "value": ours.value_error,
        "gradient": ours.gradient_error,
    }[goal.quantity]
    return found, found <= goal.limit


def goal_lines(result: Result) -> list[str]:
    """One line for each goal."""
    lines = []
    for goal in result.case.goals:
        found, met = reached(goal, result)
        wanted = _WORDS[goal.quantity].format(limit=goal.limit, peer=goal.peer or "the best peer")
        said = "not measured" if math.isnan(found) else f"{found:.3g}"
        lines.append(f"{'reached' if met else 'MISSED'}: {wanted} (measured {said})")
    return lines


def summary(result: Result) -> str:
    """Ours against the best peer, in one line."""
    ours, best = result.ours, result.best_peer()
    if ours is None:
        return "ours failed."
    text = f"Ours, {ours.name}: {ours.median:.2f} ms"
    if best is None:
        return text + "; no peer ran."
    row, fair = best
    accuracy = "the best peer of comparable accuracy" if fair else "no peer is as accurate; the most accurate"
    return f"{text}; {accuracy}, {row.name}: {row.median:.2f} ms; ratio {row.median / ours.median:.2f}."


def _number(value: float, form: str) -> str:
    return "-" if math.isnan(value) else format(value, form)


def _cells(row: Row) -> list[str]:
    low, high = row.quartiles
    counts = "-" if not row.events else (f"{row.forward}" if not row.backward else f"{row.forward} + {row.backward}")
    return [
        f"{row.median:.2f}",
        f"{low:.2f}-{high:.2f}",
        counts,
        _number(row.floor, ".2f"),
        _number(row.median / row.floor, ".2f"),
        f"{row.value_error:.0e}",
        f"{row.gradient_error:.0e}" + ("" if row.exact else " (biased)"),
    ]


def _headings(unit: str) -> list[str]:
    return ["ms", "quartiles", unit, "floor, ms", "x floor", "value error", "gradient error"]


def _label(row: Row) -> str:
    return f"{row.name} ({row.setting})" if row.setting else row.name


def show(result: Result, console: Console) -> None:
    """Prints the case's table."""
    table = Table(title=f"{result.case.name}: {result.case.title}", title_justify="left", expand=False)
    table.add_column("contender", overflow="fold", min_width=34)
    for heading in _headings(result.case.unit):
        table.add_column(heading, justify="right", overflow="fold")
    for row in result.rows:
        style = "bold" if row.role == "recommended" else None
        if row.times:
            table.add_row(_label(row), *_cells(row), style=style)
        else:
            table.add_row(f"{row.name}: {row.note}", style="dim")
    console.print(table)
    for name, value in result.case.notes.items():
        console.print(f"  {name}: {value:.3g}", highlight=False)
    console.print("  " + summary(result), highlight=False)
    for line in goal_lines(result):
        console.print("  " + line, highlight=False)
    console.print()


def markdown(results: Sequence[Result], repeats: int) -> str:
    """The tables for the page."""
    parts = [f"{setting()} Medians of {repeats} interleaved runs."]
    for result in results:
        case = result.case
        head = ["", *_headings(case.unit)]
        lines = [f"**{case.name}**: {case.title}", "", "| " + " | ".join(head) + " |"]
        lines.append("| --- |" + " ---: |" * (len(head) - 1))
        for row in result.rows:
            name = f"**{_label(row)}**" if row.role == "recommended" else _label(row)
            cells = _cells(row) if row.times else [row.note] + [""] * (len(head) - 2)
            lines.append(f"| {name} | " + " | ".join(cells) + " |")
        lines += ["", f"{summary(result)} Goals. " + "; ".join(goal_lines(result)) + "."]
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def write_page(page: Path, text: str) -> None:
    """Puts the text between the page's two markers.

    Raises:
        ValueError: if the page lacks them.
    """
    old = page.read_text()
    if BEGIN not in old or END not in old:
        raise ValueError(f"{page} has no lines {BEGIN!r} and {END!r} to write between.")
    before, rest = old.split(BEGIN, 1)
    page.write_text(f"{before}{BEGIN}\n\n{text}\n\n{END}{rest.split(END, 1)[1]}")


def as_json(results: Sequence[Result], repeats: int) -> dict[str, Any]:
    """Everything, times included."""
    cases = []
    for result in results:
        rows = [
            {
                "name": row.name,
                "side": row.side,
                "role": row.role,
                "exact": row.exact,
                "setting": row.setting,
                "note": row.note,
                "ms": row.times,
                "median_ms": row.median if row.times else None,
                "floor_ms": None if math.isnan(row.floor) else row.floor,
                "value_error": None if math.isnan(row.value_error) else row.value_error,
                "gradient_error": None if math.isnan(row.gradient_error) else row.gradient_error,
                "events": [{"kind": kind, "batch": size, "times": n} for (kind, size), n in row.events.items()],
            }
            for row in result.rows
        ]
        cases.append(
            {
                "name": result.case.name,
                "title": result.case.title,
                "unit": result.case.unit,
                "notes": result.case.notes,
                "goals": goal_lines(result),
                "rows": rows,
            }
        )
    return {"setting": setting(), "versions": versions(), "repeats": repeats, "cases": cases}
