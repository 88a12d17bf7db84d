"""``metabench search``: runs architecture searches on benchmarks and compares them."""

from __future__ import annotations

import math
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
    from metabench.analysis.statistics import Quartiles
    from metabench.searchers import Incumbent, LeaderboardRow, SearchReport

__all__ = ["Options", "run"]

_EXIT_FAILED_RUNS = 1
_SETTINGS = ("sim_workers", "clock", "promotions", "replicates")


@dataclass(frozen=True)
class Options:
    """Run architecture searches and compare them.

    Stop it at any time: the same command goes on where it stopped. The exit code is 1 if a run failed.
    """

    searchers: Annotated[tyro.conf.Positional[tuple[str, ...]], optional("SEARCHER...")] = ()
    """Searchers to compare; 'metabench list searchers' shows them."""
    on: Annotated[tuple[str, ...], optional("SPACE/TASK...")] = ()
    """The benchmarks, for example cells2-v1/mnist1d-v1."""
    trials: Annotated[int, tyro.conf.arg(metavar="N")] = 100
    """Budget of one run, in full trainings; one that stops early spends its share of a training."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 10
    """Runs of each searcher on each benchmark."""
    out: Annotated[Path | None, optional("DIR")] = None
    """The run folder; a name under runs/ is chosen if left out."""
    kind: Literal["table", "surrogate", "live"] = "table"
    """Where results come from: measured table, fitted surrogate, or trained now."""
    workers: Annotated[int | None, optional("N")] = None
    """Processes on this machine; as many as it has cores if left out."""
    scheduler: Annotated[str | None, optional("ADDRESS")] = None
    """A Dask scheduler (tcp://HOST:PORT) that does the runs instead."""
    sim_workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Trainings that run at the same time on the simulated clock."""
    clock: Literal["seconds", "flops", "epochs"] = "seconds"
    """What a training costs: its recorded seconds, or counted FLOPs or epochs, which no rebuilt table changes."""
    promotions: Literal["continue", "restart"] = "continue"
    """Whether a training goes on from its checkpoint when it is asked for again at a higher epoch."""
    replicates: Literal["random", "fixed"] = "random"
    """Whether searchers draw a replicate for each architecture, or each run is given one for all."""
    dry_run: bool = False
    """Only say what would be run, and what it would cost."""
    json: bool = False
    """Print one JSON document."""


def run(options: Options) -> int:
    """Searches, and prints the leaderboard; returns the exit code."""
    if not options.searchers:
        raise ArgumentError("name at least one searcher, as in: metabench search random --on SPACE/TASK.")
    if not options.on:
        raise ArgumentError("name at least one benchmark, as in: --on cells2-v1/mnist1d-v1.")
    for option in ("trials", "seeds", "workers", "sim_workers"):
        number = getattr(options, option)
        if number is not None and number < 1:
            raise ArgumentError(f"--{option.replace('_', '-')} {number}: expected at least 1.")
    from metabench.searchers import Settings, run_search
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
            settings=Settings(**{name: getattr(options, name) for name in _SETTINGS}),
            workers=options.workers,
            scheduler=options.scheduler,
            progress=show_progress(),
            dry_run=options.dry_run,
            command=_command(options, folder),
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"What is finished is kept; go on with: {_command(options, folder)}") from None
    if options.json:
        print_json(report)
    elif options.dry_run:
        _print_plan(options, report)
    else:
        _print_report(report)
    return _EXIT_FAILED_RUNS if report.failed else 0


def _command(options: Options, folder: Path) -> str:
    """The command that runs, or goes on with, this search."""
    words = ["metabench", "search", *options.searchers, "--on", *options.on]
    words += ["--trials", str(options.trials), "--seeds", str(options.seeds), "--out", short_path(folder)]
    for name in ("kind", *_SETTINGS):
        value = getattr(options, name)
        if value != getattr(Options, name):
            words += [f"--{name.replace('_', '-')}", str(value)]
    return shlex.join(words)


def _print_plan(options: Options, report: SearchReport) -> None:
    runs = len(options.searchers) * len(options.on) * options.seeds
    print(
        f"{runs:,} runs of {options.trials:,} trials: {', '.join(options.searchers)} "
        f"on {', '.join(options.on)}, {options.seeds} seeds."
    )
    if options.sim_workers > 1:
        print(f"simulated: {options.sim_workers} trainings at a time.")
    print(f"folder: {short_path(report.folder)} (not made)")
    print(f"searchers' own cost of what is not finished yet: about {_seconds(report.estimated_seconds)} of one core.")
    print(*_shares(report.estimated_by_searcher), sep="\n", end="")
    for note in report.notes:
        print(f"note: {note}")


def _shares(seconds: dict[str, float]) -> list[str]:
    """The searchers that take most of the estimate, and the rest together, where there are several."""
    costly = sorted(
        (name for name in seconds if seconds[name] > 0.01 * sum(seconds.values())), key=lambda n: -seconds[n]
    )
    if len(seconds) < 2:
        return []
    parts = [f"{name} {_seconds(seconds[name])}" for name in costly]
    rest = sum(seconds[name] for name in seconds if name not in costly)
    parts += [f"all others {_seconds(rest)}"] if rest else []
    return [f"of these: {', '.join(parts)}.", ""]


def _print_report(report: SearchReport) -> None:
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
    for command in _next_commands(report):
        print(f"next: {command}")


def _print_leaderboard(task: str, rows: list[LeaderboardRow]) -> None:
    regrets = any(found.median is not None for row in rows for found in row.test_regret.values())
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
            *(_percentages((row.test_regret if regrets else row.test_score).get(number)) for number in numbers),
            _seconds(row.simulated_seconds),
            _seconds(row.overhead_seconds),
        ]
        for row in rows
    ]
    what = (
        "Test regret of the incumbent, chosen on validation, in percentage points: median (quartiles) over runs.\n"
        if regrets
        else "Test score of the incumbent, chosen on validation, in percent: median (quartiles) over runs.\n"
    )
    caption = (
        f"{what}Simulated time is the cost of a run's trainings, overhead the searcher's own time (medians over runs)."
    )
    print_table(f"Leaderboard on {task}", columns, cells, caption=caption)


def _percentages(spread: Quartiles | None) -> str:
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


def _next_commands(report: SearchReport) -> list[str]:
    """The report, and the query for the best incumbent."""
    from metabench.cli.main import COMMANDS

    words = [["metabench", "report", short_path(report.folder)]] if "report" in COMMANDS else []
    found = [entry for entry in report.incumbents if entry.code is not None]
    if found:
        best = min(found, key=_validation)
        query = ["metabench", "query", best.task, "--code", str(best.code), "--seed", "all"]
        kinds = {entry["id"]: entry["kind"] for entry in report.plan.get("benchmarks", ())}
        if kinds.get(best.task, "table") == "table":
            words.append(query)
    return [shlex.join(command) for command in words]


def _validation(incumbent: Incumbent) -> float:
    """Validation regret, else the negated score; the lower, the better."""
    if incumbent.val_regret is not None:
        return incumbent.val_regret
    return math.inf if incumbent.val_score is None else -incumbent.val_score
