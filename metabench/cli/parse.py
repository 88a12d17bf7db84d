"""Reads a command's options by tyro; tyro's boxed pages about mistakes become one line."""

from __future__ import annotations

import contextlib
import io
import re
import textwrap
from collections.abc import Sequence
from typing import Any, TypeVar

import tyro

from metabench.errors import ArgumentError
from metabench.registry import did_you_mean

__all__ = ["HelpShown", "optional", "parse"]

Options = TypeVar("Options")

_MARKERS = (tyro.conf.FlagCreatePairsOff, tyro.conf.PositionalMetavarFromFieldName)


class HelpShown(Exception):
    """The user asked for help and has it."""


def optional(metavar: str) -> Any:
    """For an option that may be left out and has no default worth printing."""
    return tyro.conf.arg(metavar=metavar, help_behavior_hint="")


def parse(options: type[Options], arguments: Sequence[str], command: str) -> Options:
    """An instance of the dataclass ``options``, filled from the words after the command.

    Raises:
        HelpShown: after ``--help``.
        ArgumentError: one line on what tyro did not accept.
    """
    program = f"metabench {command}"
    page = io.StringIO()
    try:
        with contextlib.redirect_stderr(page):
            return tyro.cli(options, prog=program, args=list(arguments), config=_MARKERS)
    except SystemExit as stop:
        if stop.code in (0, None):
            raise HelpShown from None
    raise ArgumentError(f"{_one_line(page.getvalue())} See '{program} --help'.")


def _one_line(page: str) -> str:
    """The message of a boxed page of tyro's, with the option it thinks was meant."""
    message, *others = _sections(page) or [["the options cannot be read"]]
    text = _message(message)
    for other in others:
        meant = re.match(r"Perhaps you meant:\s+(-\S+)", " ".join(other))
        if meant:
            text += f"; did you mean {meant[1]}?"
    return text if text.endswith((".", "?")) else f"{text}."


def _sections(page: str) -> list[list[str]]:
    """The lines between a page's rules, without its frame and title; drawn in ASCII where stdout is not UTF-8."""
    page = re.sub(r"\x1b\[[0-9;]*m", "", page)
    sections: list[list[str]] = [[]]
    for line in page.splitlines():
        text = line.strip("│").rstrip()
        if re.fullmatch(r"\s*([╭╰].*|─+|-{3,})", text):
            sections.append([])
        elif text:
            sections[-1].append(text)
    titled = sections[1:]  # in ASCII the title is a section of its own, else it is in the frame
    return [textwrap.dedent("\n".join(lines)).splitlines() for lines in titled if lines]


def _message(lines: list[str]) -> str:
    """The first section of a page in our words where we know it, else in tyro's."""
    text = " ".join(line.strip() for line in lines)
    if text.startswith("Missing from"):
        names = [line.strip() for line in lines if re.match(r" {4}\S", line)]
        return f"missing {', '.join(names)}" if names else text
    value = re.match(r"Error parsing (\S+?):.*?(?:\[['\"](.*?)['\"]\]|with base 10: '(.*?)')", text)
    if value:
        wanted = "a whole number" if "'int'" in text or "int()" in text else "another kind of value"
        return f"{value[1]}: cannot read {value[2] or value[3]!r}; expected {wanted}"
    choice = re.match(r"invalid choice '(.*?)' for argument '(.*?)'. Expected one of \((.*?),?\)", text)
    if choice:
        known = [word.strip(" '\"") for word in choice[3].split(",")]
        return f"{choice[2]}: unknown choice {choice[1]!r}.{did_you_mean(choice[1], known)} Known: {', '.join(known)}"
    if re.match(r"Missing value for argument", text):
        return text.replace("Missing", "missing", 1).replace("Expected 1 values", "Expected one")
    return text.replace("Unrecognized options", "unrecognized options", 1)
