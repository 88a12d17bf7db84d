"""Long measurements as independent units: any number of processes, a JSON line a finished unit, nothing done twice."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, TypeVar

from metabench.errors import ArgumentError, RunFolderError
from metabench.machine import each_done

__all__ = ["measure_units"]

Work = TypeVar("Work")


def _read(path: Path, key: dict[str, Any]) -> dict[str, Any]:
    """Finished units; a last line cut short by an interruption is dropped from the file."""
    if not path.is_file():
        return {}
    whole, newline, torn = path.read_bytes().rpartition(b"\n")
    if torn:
        os.truncate(path, len(whole + newline))
    finished: dict[str, Any] = {}
    for number, line in enumerate(whole.splitlines(), start=1):
        try:
            row = json.loads(line)
            found, unit, result = row["key"], row["unit"], row["result"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunFolderError(f"{path}:{number}: not a line of a measurement; give another --out.") from error
        if found != key:
            raise RunFolderError(f"{path}:{number}: of another optimizer, or other settings; give another --out.")
        finished[unit] = result
    return finished


def measure_units(
    units: Mapping[str, Work], measure: Callable[[Work], Any], *, out: Path, key: dict[str, Any], workers: int = 1
) -> dict[str, Any]:
    """Measures the units that ``out`` does not have yet, and returns all of them.

    Args:
        units: name -> what ``measure`` is given; it travels to other processes.
        measure: a function of a module, whose result JSON can hold.
        out: file with one line a finished unit.
        key: what all lines must agree in; anything JSON can hold.
        workers: processes.

    Raises:
        RunFolderError: if ``out`` is of another measurement.
    """
    if workers < 1:
        raise ArgumentError(f"workers={workers}: expected at least 1.")
    finished = _read(out, key)
    missing = {name: (work,) for name, work in units.items() if name not in finished}
    out.parent.mkdir(parents=True, exist_ok=True)
    for count, (name, result) in enumerate(each_done(measure, missing, workers), start=1):
        line = json.dumps({"key": key, "unit": name, "result": result}).encode() + b"\n"
        with out.open("ab", buffering=0) as file:
            file.write(line)  # one write: a line is there or not
        finished[name] = json.loads(line)["result"]
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{count} of {len(missing)} units" + "\n" * (count == len(missing)))
    return {name: finished[name] for name in units}
