"""``metabench fit``: fits surrogates to a packed table."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal

import tyro

from metabench.cli.output import Column, print_json, print_table, short_path
from metabench.cli.parse import optional

__all__ = ["Options", "run"]


@dataclass(frozen=True)
class Options:
    """Fit a surrogate to each task of a packed table; ``--kind surrogate`` then answers for every architecture."""

    space: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SPACE")]
    """The space: an id, or a path to your own .toml definition."""
    tasks: Annotated[tuple[str, ...], optional("TASK...")] = ()
    """The tasks: ids or paths; all of the table if left out."""
    model: Literal["lightgbm", "neural"] = "neural"
    """Small networks, or boosted trees."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Of every random choice in fitting."""
    out: Annotated[Path | None, optional("DIR")] = None
    """The space's folder, with the table in it; surrogates/SPACE if left out."""
    json: bool = False
    """Print one JSON document."""


def run(options: Options) -> None:
    """Fits, and prints where the surrogates are."""
    from metabench.surrogate import Settings
    from metabench.tables import fit_table

    settings = Settings(model=options.model, seed=options.seed)
    reports = fit_table(options.space, options.tasks or None, settings=settings, out=options.out)
    if options.json:
        print_json({"surrogates": reports})
        return
    columns = [
        Column("surrogate", "left"),
        Column("architectures"),
        Column("share\n[%]"),
        Column("seeds"),
        Column("time\n[CPU s]"),
        Column("size\n[MB]"),
    ]
    rows = [
        [
            report.id,
            f"{report.architectures:,}",
            f"{100 * report.share:.1f}",
            str(report.replicates),
            f"{report.seconds:.1f}",
            f"{report.bytes / 1e6:.2f}",
        ]
        for report in reports
    ]
    print_table(f"Surrogates fitted ({options.model})", columns, rows)
    print(f"\nfolder: {short_path(reports[0].folder.parent)}")
    print(f"next: metabench query {reports[0].id} --best 5 --kind surrogate")
