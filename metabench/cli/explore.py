"""``metabench explore``: trains a meta-RL agent on an environment whose optimum is known."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from metabench.cli.numbers import write_number
from metabench.cli.output import Column, print_json, print_table, short_path, show_progress
from metabench.cli.parse import optional
from metabench.errors import ArgumentError

if TYPE_CHECKING:
    from metabench.metarl.explore import ExploreReport

__all__ = ["Options", "run"]


@dataclass(frozen=True)
class Options:
    """Train a meta-RL agent. Stop it at any time: with --resume the same command goes on, to the same bit."""

    agent: Annotated[tyro.conf.Positional[str], optional("AGENT")] = ""
    """rl2, varibad, hyperx, or one of a plug-in's."""
    env: Annotated[str, optional("TASK")] = ""
    """The environment: an id, as bandit-v0:pulls=100,arms=10, a .toml of your own, or package.module:function."""
    frames: Annotated[int | None, optional("N")] = None
    """Environment steps of each seed; the environment's preset if left out."""
    seeds: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Runs, numbered from --first-seed."""
    first_seed: Annotated[int, tyro.conf.arg(metavar="K")] = 0
    """Other than 0, to choose settings on runs that are not reported."""
    set: Annotated[tuple[str, ...], optional("NAME=VALUE...")] = ()
    """Settings to change, as in: --set memory_cell=gated.deq copies=64 policy_layers=[64,64]."""
    out: Annotated[Path | None, optional("DIR")] = None
    """The run folder; a name under runs/ is chosen if left out."""
    resume: bool = False
    """Go on with what the folder holds."""
    workers: Annotated[int | None, optional("N")] = None
    """Processes on this machine; as many as it has cores if left out."""
    scheduler: Annotated[str | None, optional("ADDRESS")] = None
    """A Dask scheduler to send the seeds to instead, as tcp://host:port; its workers must see the run folder."""
    tensorboard: bool = False
    """Write TensorBoard event files as well as JSONL."""
    json: bool = False
    """Print one JSON document."""


def run(options: Options) -> None:
    """Trains, and prints how near the agent came to the optimum."""
    if not options.agent:
        raise ArgumentError("name an agent, as in: metabench explore varibad --env grid-navigation-v0.")
    if not options.env:
        raise ArgumentError("name an environment, as in: --env grid-navigation-v0.")
    for option, number in (("frames", options.frames), ("seeds", options.seeds), ("workers", options.workers)):
        if number is not None and number < 1:
            raise ArgumentError(f"--{option} {number}: expected at least 1.")
    if options.first_seed < 0:
        raise ArgumentError(f"--first-seed {options.first_seed}: expected at least 0.")
    if options.resume and options.out is None:
        raise ArgumentError("--resume needs the folder to go on with; give --out DIR.")
    from metabench.metarl.explore import default_folder, explore

    folder = default_folder(options.agent, options.env) if options.out is None else options.out
    try:
        report = explore(
            options.agent,
            options.env,
            frames=options.frames,
            seeds=options.seeds,
            first_seed=options.first_seed,
            settings=read_settings(options.set),
            out=folder,
            resume=options.resume,
            workers=options.workers,
            scheduler=options.scheduler,
            tensorboard=options.tensorboard,
            progress=show_progress(),
        )
    except KeyboardInterrupt:
        raise KeyboardInterrupt(f"Checkpoints are kept; go on with: {_command(options, folder)}") from None
    if options.json:
        print_json(report)
    else:
        _print_report(report)


def read_settings(words: tuple[str, ...]) -> dict[str, Any]:
    """``name=value`` words as a dict: values are written as in TOML, names may go without quotes.

    Raises:
        ArgumentError: for a word without ``=``.
    """
    import tomllib

    found: dict[str, Any] = {}
    for word in words:
        name, equals, text = word.partition("=")
        if not equals or not name:
            raise ArgumentError(f"--set {word}: expected NAME=VALUE, as in copies=64.")
        try:
            found[name] = tomllib.loads(f"value = {text}")["value"]
        except tomllib.TOMLDecodeError:
            found[name] = None if text == "none" else text
    return found


def _command(options: Options, folder: Path) -> str:
    """The command that goes on with this run."""
    words = ["metabench", "explore", options.agent, "--env", options.env, "--seeds", str(options.seeds)]
    words += ["--first-seed", str(options.first_seed)] if options.first_seed else []
    words += [] if options.frames is None else ["--frames", str(options.frames)]
    words += ["--set", *options.set] if options.set else []
    return shlex.join([*words, "--out", short_path(folder), "--resume"])


def _print_report(report: ExploreReport) -> None:
    episodes = len(report.seeds[0].episodes)
    shown = min(episodes, 6)
    columns = [
        Column("seed"),
        *(Column(f"episode {k + 1}\nreturn") for k in range(shown)),
        Column("trial\nreturn"),
        Column(f"of {report.unit or 'reference'}\n[%]"),
        Column("score\n[%]"),
    ]
    cells = [
        [
            str(result.seed),
            *(write_number(value, ".2f") for value in result.episodes[:shown]),
            write_number(sum(result.episodes), ".2f"),
            _percent(result.fraction),
            _percent(result.score),
        ]
        for result in report.seeds
    ]
    caption = (
        f"Deterministic actions, mean over tasks, after {report.frames:,} frames.\n"
        "Score: (return - random) / (best - random)."
    )
    print_table(f"{report.agent} on {report.env}", columns, cells, caption=caption)
    print()
    estimate, lower, upper = report.trial_return
    print(f"trial return: {estimate:.2f} ({lower:.2f} to {upper:.2f})")
    if report.fraction is not None:
        estimate, lower, upper = report.fraction
        print(f"of {report.unit}: {estimate:.1%} ({lower:.1%} to {upper:.1%})")
    print("Both are interquartile means with 95% bootstrap intervals over seeds.")
    for note in report.notes:
        print(f"note: {note}")
    for figure in report.figures:
        print(f"figure: {short_path(figure)}")
    print(f"folder: {short_path(report.folder)}")


def _percent(value: float | None) -> str:
    return write_number(None if value is None else 100 * value, ".1f")
