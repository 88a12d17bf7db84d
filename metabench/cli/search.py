"""``metabench search``: runs architecture searches on benchmarks and compares them."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import tyro

from metabench.cli.numbers import write_number
from metabench.cli.output import Column, print_json, print_table, short_path, show_progress
from metabench.cli.parse import optional
from metabench.errors import ArgumentError

if TYPE_CHECKING:
    from metabench.searchers import LeaderboardRow, SearchReport

__all__ = ["Options", "run"]


@dataclass(frozen=True)
class Options:
    """Run architecture searches and compare them. Stop it at any time: the same command goes on where it stopped."""

    searchers: Annotated[tyro.conf.Positional[tuple[str, ...]], optional("SEARCHER...")] = ()
    """Searchers to compare: random, regularized-evolution, smac, or one of a plug-in's."""
    on: Annotated[tuple[str, ...], optional("SPACE/TASK...")] = ()
    """The benchmarks, for example cells2-v1/mnist1d-v1."""
    trials: Annotated[int, tyro.conf.arg(metavar="N")] = 100
    """Trainings that one run may ask for."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """Runs of each searcher on each benchmark."""
    out: Annotated[Path | None, optional("DIR")] = None
    """The run folder; a name under runs/ is chosen if left out."""
    kind: Literal["table", "surrogate", "live"] = "table"
    """Where results come from: measured table, fitted surrogate, or trained now."""
    workers: Annotated[int | None, optional("N")] = None
    """Processes on this machine; as many as it has cores if left out."""
    dry_run: bool = False
    """Only say what would be run."""
    json: bool = False
    """Print one JSON document."""


def run(options: Options) -> None:
    """Searches, and prints the leaderboard."""
    if not options.searchers:
        raise ArgumentError("name at least one searcher, as in: metabench search random --on SPACE/TASK.")
    if not options.on:
        raise ArgumentError("name at least one benchmark, as in: --on cells2-v1/mnist1d-v1.")
    for option, number in (("trials", options.trials), ("seeds", options.seeds), ("workers", options.workers)):
        if number is not None and number < 1:
            raise ArgumentError(f"--{option} {number}: expected at least 1.")
    from metabench.searchers import run_search
    from metabench.searchers.plan import default_folder

    folder = default_folder(options.searchers) if options.out is None else options.out
    try:
        report = run_search(
            list(options.searchers),
            list(options.on),
            trials=options.trials,
            seeds=options.seeds,
            out=folder,
            kind=options.kind,
            workers=options.workers,
            progress=show_progress(),
            dry_run=options.dry_run,
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"What is finished is kept; go on with: {_command(options, folder)}") from None
    if options.json:
        print_json(report)
    elif options.dry_run:
        _print_plan(options, report)
    else:
        _print_report(options, report)


def _command(options: Options, folder: Path) -> str:
    """The command that runs, or goes on with, this search."""
    words = ["metabench", "search", *options.searchers, "--on", *options.on]
    words += ["--trials", str(options.trials), "--seeds", str(options.seeds), "--out", short_path(folder)]
    words += [] if options.kind == "table" else ["--kind", options.kind]
    return shlex.join(words)


def _print_plan(options: Options, report: SearchReport) -> None:
    runs = len(options.searchers) * len(options.on) * options.seeds
    print(
        f"{runs:,} runs of {options.trials:,} trials: {', '.join(options.searchers)} "
        f"on {', '.join(options.on)}, {options.seeds} seeds."
    )
    print(f"folder: {short_path(report.folder)} (not made)")
    print(f"searchers' own cost of what is not finished yet: about {_seconds(report.estimated_seconds)} of one core.")
    for note in report.notes:
        print(f"note: {note}")


def _print_report(options: Options, report: SearchReport) -> None:
    for number, task in enumerate(dict.fromkeys(row.task for row in report.rows)):
        if number:
            print()
        _print_leaderboard(task, [row for row in report.rows if row.task == task])
    print()
    for note in report.notes:
        print(f"note: {note}")
    for figure in report.figures:
        print(f"figure: {short_path(figure)}")
    print(f"folder: {short_path(report.folder)}")
    command = _next_command(report)
    if command:
        print(f"next: {command}")


def _print_leaderboard(task: str, rows: list[LeaderboardRow]) -> None:
    numbers = sorted({number for row in rows for number in row.test_regret})
    columns = [
        Column("searcher", "left"),
        Column("runs"),
        *(Column(f"after {number:,}\ntrials [%]") for number in numbers),
        Column("simulated\ntime"),
        Column("overhead\ntime"),
    ]
    cells = [
        [
            row.searcher,
            str(row.runs),
            *(_regret(row, number) for number in numbers),
            _seconds(row.simulated_seconds),
            _seconds(row.overhead_seconds),
        ]
        for row in rows
    ]
    caption = (
        "Test regret of the incumbent, chosen on validation, in percentage points: median (quartiles) over runs.\n"
        "Simulated time is the recorded cost of a run's trainings, overhead the searcher's own (medians over runs)."
    )
    print_table(f"Leaderboard on {task}", columns, cells, caption=caption)


def _regret(row: LeaderboardRow, number: int) -> str:
    spread = row.test_regret.get(number)
    if spread is None or spread.median is None:
        return "-"
    lower, median, upper = (
        write_number(None if value is None else 100 * value, ".2f")
        for value in (spread.lower, spread.median, spread.upper)
    )
    return f"{median} ({lower} to {upper})"


def _seconds(seconds: float) -> str:
    """A duration in the unit that reads best."""
    for limit, unit, size in ((1e-3, "us", 1e-6), (1.0, "ms", 1e-3), (120.0, "s", 1.0), (7200.0, "min", 60.0)):
        if seconds < limit:
            return f"{seconds / size:.3g} {unit}"
    return write_number(seconds / 3600, ",.1f") + (" h" if seconds == seconds else "")


def _next_command(report: SearchReport) -> str:
    """The query for the best incumbent."""
    found = [entry for entry in report.incumbents if entry.code is not None and entry.val_regret is not None]
    if not found:
        return ""
    best = min(found, key=lambda entry: entry.val_regret or 0.0)
    return shlex.join(["metabench", "query", best.task, "--code", str(best.code), "--seed", "all"])
