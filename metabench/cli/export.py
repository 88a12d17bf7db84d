"""``metabench export``: a packed table as one Parquet or CSV file."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated

import tyro

from metabench.cli.output import print_json, short_path
from metabench.cli.parse import optional

__all__ = ["Options", "run"]


@dataclass(frozen=True)
class Options:
    """Write a space's table to one long file: a row an architecture, task, seed and epoch, a column a metric."""

    space: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SPACE")]
    """The space: an id, or a path to your own .toml definition."""
    to: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The file to write: .parquet (needs metabench[parquet]) or .csv."""
    tasks: Annotated[tuple[str, ...], optional("TASK...")] = ()
    """The tasks; all in the table if left out."""
    json: bool = False
    """Print one JSON document."""


def run(options: Options) -> None:
    """Exports, and prints what was written."""
    from metabench.tables import export_table

    report = export_table(options.space, options.to, tasks=options.tasks or None)
    if options.json:
        print_json(asdict(report))
        return
    print(f"{short_path(report.path)}: {report.rows:,} rows of {report.space} on {', '.join(report.tasks)}")
    print(f"{report.bytes / 1e6:.2f} MB; {report.missing:,} trainings are missing in the table and have no rows.")
