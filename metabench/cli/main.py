"""The ``metabench`` command: dispatches to one module per command and turns every mistake into one line."""

from __future__ import annotations

import importlib
import sys
from collections.abc import Sequence

from metabench import __version__
from metabench.errors import UnknownNameError
from metabench.program import EXIT_MISTAKE, KEPT, run_program
from metabench.registry import did_you_mean

__all__ = ["COMMANDS", "main"]

COMMANDS = {
    "list": "show the spaces, tasks, blocks, searchers and agents there are",
    "query": "look up what an architecture scored, or the best ones",
    "search": "run architecture searches on a benchmark and compare them",
    "report": "make a page, figures or JSON of what search runs show",
    "explore": "train a meta-RL agent on an environment whose optimum is known",
    "build": "train the rows of a table that are still missing",
    "meta-train": "meta-train a learned optimizer, or MAML and its kin on a few-shot task",
    "measure": "count and time what each architecture of a space costs, on a quiet machine",
    "pack": "pack a space's trained rows into one table file",
    "export": "write a space's table to a Parquet or CSV file",
    "verify": "train a random sample of a table's rows again, and compare",
    "fit": "fit a surrogate to a packed table",
    "card": "say what a table's numbers are worth, and how good its surrogates are",
    "cite": "print what to cite for a space, task, block, searcher or agent",
}
"""Command -> what it does. Each lives in a module ``metabench.cli.<command>``, which has ``Options`` and ``run``."""

_EXAMPLES = (
    "metabench list",
    "metabench query cells2-v1/mnist1d-v1 --best 5",
    "metabench search random regularized-evolution --on cells2-v1/mnist1d-v1 --trials 100 --seeds 10",
    "metabench explore varibad --env grid-navigation-v0 --seeds 3",
)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command.

    Args:
        argv: the words after ``metabench``; the process's own if None.

    Returns:
        Exit code: 0, 1 if some of the work failed or 'verify' finds a row that disagrees, 2 for a user's mistake, 130
        for an interruption, 141 for a reader that went away.
    """
    arguments = list(sys.argv[1:] if argv is None else argv)
    long = arguments[:1] in (["build"], ["meta-train"])
    kept = KEPT if long else ""
    return run_program("metabench", lambda: _dispatch(arguments), kept=kept)


def _dispatch(arguments: list[str]) -> int:
    if not arguments:
        print(_help(), file=sys.stderr)
        return EXIT_MISTAKE
    command, rest = arguments[0], arguments[1:]
    if command in ("-h", "--help", "help"):
        print(_help())
        return 0
    if command in ("-V", "--version"):
        print(f"metabench {__version__}")
        return 0
    if command not in COMMANDS:
        kind = "option" if command.startswith("-") else "command"
        known = ", ".join(COMMANDS)
        raise UnknownNameError(f"unknown {kind} {command!r}.{did_you_mean(command, COMMANDS)} Commands: {known}.")
    from metabench.cli.parse import HelpShown, parse

    module = importlib.import_module(f"metabench.cli.{command.replace('-', '_')}")
    try:
        options = parse(module.Options, rest, command)
    except HelpShown:
        return 0
    return module.run(options) or 0


def _help() -> str:
    width = max(map(len, COMMANDS))
    lines = [
        "usage: metabench COMMAND ...",
        "",
        "How implicit layers do as searchable parts of networks: query the results, search the spaces.",
        "",
        "commands:",
        *(f"  {name:<{width}}  {text}" for name, text in COMMANDS.items()),
        "",
        "options:",
        "  -h, --help     show this help; 'metabench COMMAND --help' shows a command's",
        "  -V, --version  show the version",
        "",
        "examples:",
        *(f"  {line}" for line in _EXAMPLES),
    ]
    return "\n".join(lines)
