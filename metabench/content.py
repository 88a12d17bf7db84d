"""Finds the benchmark's content: the checkout's folders if they are there, else the installed package's copy."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path
from typing import Any, Literal

from metabench.errors import ContentError, DefinitionError
from metabench.registry import did_you_mean

__all__ = ["Kind", "find_measured", "folder", "identifiers", "is_path", "key_line", "locate", "read_toml"]

Kind = Literal["search_spaces", "tasks", "surrogates"]

_PACKAGE = Path(__file__).resolve().parent


def folder(kind: Kind) -> Path:
    """The folder that holds content of one kind."""
    checkout = _PACKAGE.parent
    if (checkout / "pyproject.toml").is_file() and (checkout / kind).is_dir():
        return checkout / kind
    return _PACKAGE / "_content" / kind


def find_measured(place: str, holds: str) -> Path | None:
    """``place`` in ``surrogates`` of the working directory, else in the shipped one; None if neither is there.

    Args:
        place: a folder as ``"cells-v1/table"``.
        holds: a file in it, by which it is known.
    """
    places = (root / place for root in (Path.cwd() / "surrogates", folder("surrogates")))
    return next((found for found in places if (found / holds).is_file()), None)


def identifiers(kind: Kind, *, of: str | None = None) -> tuple[str, ...]:
    """The ids of all definitions of one kind, sorted.

    Args:
        kind: the folder.
        of: only tasks whose ``kind`` key says so, ``dataset`` (also where there is no such key) or ``environment``.
    """
    paths = sorted(folder(kind).glob("*.toml"))
    return tuple(path.stem for path in paths if of is None or read_toml(path).get("kind", "dataset") == of)


def is_path(name: str) -> bool:
    """Whether ``name`` is the path of a user's own file rather than an id."""
    return name.endswith(".toml") or "/" in name or "\\" in name


def locate(kind: Kind, name: str) -> Path:
    """The definition file of an id, or the user's own file if ``name`` is a path to a ``.toml``.

    Raises:
        ContentError: if there is no such file or id.
    """
    if is_path(name):
        path = Path(name).expanduser()
        if not path.is_file():
            raise ContentError(f"no file {name!r}; expected an id or a path to a .toml definition.")
        return path
    path = folder(kind) / f"{name}.toml"
    if not path.is_file():
        known = identifiers(kind)
        noun = {"search_spaces": "space", "tasks": "task", "surrogates": "surrogate"}[kind]
        raise ContentError(f"unknown {noun} {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}.")
    return path


def read_toml(path: Path) -> dict[str, Any]:
    """Reads a definition file.

    Raises:
        DefinitionError: naming the file and the line if it is not valid TOML or not UTF-8.
    """
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except tomllib.TOMLDecodeError as error:
        raise DefinitionError(f"{path}: not valid TOML: {error}; mend that line.") from error
    except UnicodeDecodeError as error:
        raise DefinitionError(f"{path}: not UTF-8 text (byte {error.start}); save it as UTF-8.") from error
    except OSError as error:
        raise ContentError(f"{path}: cannot be read: {error.strerror}.") from error


def key_line(path: Path, key: str) -> int:
    """The line (from 1) where the last part of a dotted ``key`` is set in a TOML file; 1 if it is not there."""
    pattern = re.compile(rf"^\s*(\[+\s*)?([\w.-]+\.)?{re.escape(key.rpartition('.')[2])}\s*(=|\])")
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if pattern.match(line):
            return number
    return 1
