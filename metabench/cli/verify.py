"""``metabench verify``: trains a random sample of a table's rows again, and compares."""

from __future__ import annotations

import sys
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Annotated

import tyro

from metabench.cli.output import Column, print_json, print_table, short_path, show_progress
from metabench.cli.parse import optional
from metabench.errors import ArgumentError

if TYPE_CHECKING:
    from metabench.tables.verify import RowReport

__all__ = ["Options", "run"]


@dataclass(frozen=True)
class Options:
    """Train a random sample of a table's rows again, each alone, and compare. Exit code 1 if a row disagrees."""

    space: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SPACE")]
    """The space: an id, or a path to your own .toml definition."""
    tasks: Annotated[tuple[str, ...], optional("TASK...")] = ()
    """The tasks: ids, or paths to your own definitions; all in the table if left out."""
    rows: int = 10
    """How many rows are drawn."""
    seed: int = 0
    """Of the draw."""
    json: bool = False
    """Print one JSON document."""


def run(options: Options) -> int:
    """Verifies, and prints each row's differences; 1 if a row disagrees."""
    if options.rows < 1:
        raise ArgumentError(f"--rows {options.rows}: expected at least 1.")
    from metabench.tables import verify_table

    done: list[RowReport] = []

    def show(row: RowReport) -> None:
        done.append(row)
        if show_progress():
            print(f"\rretrained {len(done)} of {options.rows}", end="", file=sys.stderr, flush=True)

    report = verify_table(options.space, tasks=options.tasks or None, rows=options.rows, seed=options.seed, on_row=show)
    if show_progress():
        print(file=sys.stderr)
    if options.json:
        rows = [
            {
                **asdict(row),
                "agrees": row.agrees,
                "checks": [{**asdict(check), "agrees": check.agrees} for check in row.checks],
            }
            for row in report.rows
        ]
        print_json({**asdict(report), "rows": rows, "agrees": report.agrees})
        return 0 if report.agrees else 1
    columns = [Column("task", "left"), Column("architecture", "left", wrap=True), Column("seed")]
    names = ("train_loss", "val_score", "val_score", "test_score")
    columns += [Column(f"{name.replace('_', ' ')}\n{when}") for name, when in zip(names, _WHEN, strict=True)]
    print_table(
        f"{len(report.rows)} of {report.finished:,} rows of {short_path(report.folder)} trained again",
        [*columns, Column("agrees", "left")],
        [_line(row, names) for row in report.rows],
        caption="retrained minus stored, at the first and last checkpoints, and in brackets what is allowed",
    )
    for row in report.rows:
        for check in row.checks:
            if not check.agrees:
                print(
                    f"\n{row.task}, {','.join(row.architecture) or 'skip'}, seed {row.seed}: {check.name} is "
                    f"{check.stored:.6g} in the table and {check.found:.6g} retrained; allowed {check.allowed:.2g}"
                )
    bad = sum(not row.agrees for row in report.rows)
    print(f"\n{len(report.rows) - bad} of {len(report.rows)} rows agree ({report.seconds:.0f} s).")
    return 1 if bad else 0


_WHEN = ("first", "first", "last", "last")


def _line(row: RowReport, names: tuple[str, ...]) -> list[str]:
    cells = [row.task, ",".join(row.architecture) or "skip", str(row.seed)]
    for name, when in zip(names, _WHEN, strict=True):
        found = [check for check in row.checks if check.name.startswith(f"{name}@")]
        check = found[0 if when == "first" else -1]
        cells.append(f"{check.found - check.stored:+.4f} [{check.allowed:.4f}]")
    return [*cells, "yes" if row.agrees else "NO"]
