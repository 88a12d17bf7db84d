"""``metabench measure``: what each architecture of a space costs, counted and timed alone."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import tyro

from metabench.cli.output import print_json, show_progress
from metabench.cli.parse import optional

__all__ = ["Options", "run"]


@dataclass(frozen=True)
class Options:
    """Count parameters, FLOPs and activation bytes of every architecture, and time a forward pass, one by one.

    Stop it at any time: a second run does only the rest. 'metabench pack' then puts the numbers into the table.
    """

    space: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SPACE")]
    """The space: an id, or a path to your own .toml definition."""
    tasks: Annotated[tuple[str, ...], optional("TASK...")] = ()
    """The tasks; all data sets if left out."""
    busy: bool = False
    """Measure even while other work runs on this machine; latencies are then too long."""
    json: bool = False
    """Print one JSON document."""


def run(options: Options) -> None:
    """Measures, and prints how many."""
    from rich.console import Console
    from rich.progress import Progress

    from metabench.tables import measure_costs

    with Progress(console=Console(stderr=True), disable=not show_progress()) as bar:
        shown = bar.add_task("measuring")
        counts = measure_costs(
            options.space,
            list(options.tasks) or None,
            busy=options.busy,
            progress=lambda done, total: bar.update(shown, completed=done, total=total),
        )
    if options.json:
        print_json({"space": options.space, "measured": counts})
        return
    for task, count in counts.items():
        print(f"{options.space}/{task}: {count:,} architectures measured")
    print(f"next: metabench pack --space {options.space}")
