"""A searcher's checkpoint: what it was asked and told, in order. Doing it again restores its state."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import fields
from pathlib import Path
from typing import Any

from metabench.errors import RunFolderError, SearcherError
from metabench.searchers.searcher import Searcher, Trial
from metabench.tables.result import Result, Status

__all__ = ["Journaled", "decode_result", "encode_result", "replay"]

_FIELDS = tuple(field.name for field in fields(Result) if field.name not in ("provenance", "status"))


def encode_result(result: Result) -> dict[str, Any]:
    """A result without its provenance, for JSON; numbers that JSON has not become ``"nan"``, ``"inf"``, ``"-inf"``."""
    values = {name: getattr(result, name) for name in _FIELDS}
    for name, value in values.items():
        if isinstance(value, float) and not math.isfinite(value):
            values[name] = repr(value)
    return {**values, "architecture": list(result.architecture), "status": result.status.value}


def decode_result(values: Mapping[str, Any]) -> Result:
    """The result that :func:`encode_result` encoded, without provenance."""
    found = {name: values[name] for name in _FIELDS}
    for name, value in found.items():
        if value in ("nan", "inf", "-inf"):
            found[name] = float(value)
    return Result(**{**found, "architecture": tuple(values["architecture"])}, status=Status(values["status"]))


def _encode_trial(trial: Trial | None) -> dict[str, Any] | None:
    if trial is None:
        return None
    config = trial.config if isinstance(trial.config, int) else dict(trial.config)
    return {"number": trial.number, "config": config, "epoch": trial.epoch, "seed": trial.seed}


def replay(searcher: Searcher, lines: Iterable[Mapping[str, Any]]) -> dict[int, Trial]:
    """Asks and tells a fresh searcher what a journal says, so that it stands where the recorded one stood.

    Replaying needs no support from the searcher, only that it is deterministic; it costs what the searcher itself
    costs, and no training.

    Args:
        searcher: fresh, made with the arguments of the recorded one.
        lines: as :class:`Journaled` writes them.

    Returns:
        The trials that were asked for and not told yet, by number.

    Raises:
        SearcherError: if the searcher asks for something else than the recorded one.
    """
    running: dict[int, Trial] = {}
    for place, line in enumerate(lines):
        if "tell" in line:
            searcher.tell(running.pop(line["tell"]), decode_result(line["result"]))
            continue
        try:
            trial = searcher.ask()
        except StopIteration:
            trial, found = None, "stop"
        else:
            found = _encode_trial(trial)
        if json.loads(json.dumps(found)) != line["ask"]:
            raise SearcherError(
                f"the searcher does not repeat its journal: entry {place} is {line['ask']}, now it asks for {found}. "
                "Make it with the same arguments, and draw randomness only from its seed."
            )
        if trial is not None:
            running[trial.number] = trial
    return running


class Journaled(Searcher):
    """Another searcher, whose asks and tells are written to a file; made again with that file, it goes on from there.

    Args:
        searcher: fresh.
        path: JSON lines, one an ``ask`` or ``tell``; what is there is replayed first. None keeps them in memory only.

    Attributes:
        lines: the journal so far.
        running: trials asked for and not told yet, by number; after a restart, those to evaluate again.

    Raises:
        SearcherError: if the searcher does not repeat the journal.
        RunFolderError: if the file is no journal.
    """

    def __init__(self, searcher: Searcher, path: Path | None = None) -> None:
        self._searcher = searcher
        self._path = path
        self.lines: list[dict[str, Any]] = _read(path) if path is not None and path.exists() else []
        self.running = replay(searcher, self.lines)

    def ask(self) -> Trial | None:
        try:
            trial = self._searcher.ask()
        except StopIteration:
            self._write({"ask": "stop"})
            raise
        self._write({"ask": _encode_trial(trial)})
        if trial is not None:
            self.running[trial.number] = trial
        return trial

    def tell(self, trial: Trial, result: Result) -> None:
        self._searcher.tell(trial, result)
        del self.running[trial.number]
        self._write({"tell": trial.number, "result": encode_result(result)})

    def _write(self, line: dict[str, Any]) -> None:
        self.lines.append(line)
        if self._path is not None:
            with self._path.open("a", encoding="utf-8") as file:
                file.write(f"{json.dumps(line, allow_nan=False)}\n")


def _read(path: Path) -> list[dict[str, Any]]:
    """The whole lines of a journal; what a killed process left of a last one is cut off."""
    text = path.read_text(encoding="utf-8")
    whole = text[: text.rfind("\n") + 1]
    try:
        lines = [json.loads(line) for line in whole.splitlines()]
        if not all(isinstance(line, dict) and ("ask" in line or "tell" in line) for line in lines):
            raise ValueError("a line is neither an ask nor a tell")
    except ValueError as error:
        raise RunFolderError(f"{path} is no journal of a searcher ({error}); choose another file.") from error
    if whole != text:
        path.write_text(whole, encoding="utf-8")
    return lines
