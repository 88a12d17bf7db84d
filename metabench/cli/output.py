"""Results on stdout: rich tables for a terminal, plain text of a fixed width elsewhere, or one JSON document."""

from __future__ import annotations

import dataclasses
import json
import math
import sys
from collections.abc import Iterable, Mapping, Sequence
from enum import Enum
from pathlib import Path, PurePath
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from rich.console import Console

__all__ = ["Column", "console", "plain", "print_json", "print_table", "short_path", "show_progress"]

_PLAIN_WIDTH = 120
_WRAPPED_WIDTH = 16


@dataclasses.dataclass(frozen=True, slots=True)
class Column:
    """One column of a table."""

    header: str
    """Name, and the unit on a second line."""
    justify: Literal["left", "right"] = "right"
    """Words to the left, numbers to the right."""
    wrap: bool = False
    """Whether long cells may be folded."""


def console() -> Console:
    """A console on stdout: colour and the terminal's width on a terminal, plain text 120 wide elsewhere."""
    from rich.console import Console

    if sys.stdout.isatty():
        return Console(file=sys.stdout, highlight=False)  # rich itself obeys NO_COLOR
    return Console(file=sys.stdout, highlight=False, width=_PLAIN_WIDTH, no_color=True, force_terminal=False)


def print_table(title: str, columns: Sequence[Column], rows: Iterable[Sequence[str]], *, caption: str = "") -> None:
    """Prints a table.

    Args:
        title: the line above it.
        columns: one for each cell of a row.
        rows: cells as text.
        caption: the lines below it.
    """
    from rich import box
    from rich.measure import Measurement
    from rich.table import Table
    from rich.text import Text

    out = console()
    depth = max(column.header.count("\n") for column in columns)
    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False, collapse_padding=True, header_style="bold cyan")
    rows = list(rows)
    for place, column in enumerate(columns):
        table.add_column(
            Text("\n" * (depth - column.header.count("\n")) + column.header),
            justify=column.justify,
            no_wrap=not column.wrap,
            overflow="fold",
            min_width=_minimal_width(column, [row[place] for row in rows]),
        )
    for row in rows:
        table.add_row(*map(Text, row))
    # A terminal too narrow for the numbers wraps lines itself: rich would cut them off, and so show wrong ones.
    out.width = max(out.width, Measurement.get(out, out.options.update(max_width=10_000), table).minimum)
    with out.capture() as page:
        out.print(Text(title, style="bold"), soft_wrap=True)
        out.print()
        out.print(table)
        if caption:
            out.print()
            out.print(Text(caption, style="dim"))
    for line in page.get().splitlines():
        print(line.rstrip())


def _minimal_width(column: Column, cells: Sequence[str]) -> int:
    widest = max(len(line) for cell in (column.header, *cells) for line in (cell.split("\n")))
    return min(widest, _WRAPPED_WIDTH) if column.wrap else widest


def print_json(document: Any) -> None:
    """Prints one JSON document; NaN and infinities become null."""
    print(json.dumps(plain(document), indent=2, ensure_ascii=False, allow_nan=False))


def plain(value: Any) -> Any:
    """``value`` made of JSON's own types: dataclasses become objects, enums their values, non-finite numbers None."""
    if isinstance(value, Enum):
        return plain(value.value)
    if value is None or isinstance(value, (bool, str)):
        return value
    if isinstance(value, int):
        return int(value)
    if isinstance(value, float):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return str(value)
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in dataclasses.fields(value)}
    as_mapping = getattr(value, "_asdict", None)  # a named tuple
    if as_mapping is not None:
        return plain(as_mapping())
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    to_list = getattr(value, "tolist", None)  # NumPy arrays and scalars, without importing NumPy
    if to_list is not None:
        return plain(to_list())
    if isinstance(value, Iterable):
        return [plain(item) for item in value]
    return str(value)


def show_progress() -> bool:
    """Whether progress is wanted: only when stderr is a terminal."""
    return sys.stderr.isatty()


def short_path(path: Path) -> str:
    """The path as seen from the working folder if it lies below, else in full."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)
