"""A run folder, as ``README.md`` beside this file describes it; every file is written by atomic rename."""

from __future__ import annotations

import json
import logging
import platform
import re
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from metabench.errors import RunFolderError
from metabench.files import replace_file

__all__ = [
    "clear_failure",
    "open_folder",
    "read_trials",
    "trials_path",
    "write_failure",
    "write_provenance",
    "write_trials",
]

_PLAN = "run.json"
_PROVENANCE = "provenance.json"
_PACKAGES = ("metabench", "ConfigSpace", "lightgbm", "numpy", "optuna", "scipy", "smac", "torch")
_log = logging.getLogger(__name__)


def open_folder(folder: Path, plan: Mapping[str, Any], *, write: bool = True) -> None:
    """Makes a folder for a plan (unless ``write`` is false), or accepts the folder if it holds this very plan.

    Raises:
        RunFolderError: if the folder belongs to another plan or holds something else.
    """
    path = folder / _PLAN
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunFolderError(f"{folder} is not empty and holds no {_PLAN}; choose another --out.")
        if write:
            folder.mkdir(parents=True, exist_ok=True)
            replace_file(path, json.dumps(plan, indent=2) + "\n")
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise RunFolderError(f"{path} cannot be read ({error}); choose another --out or remove it.") from error
    wanted = json.loads(json.dumps(plan))
    if found == wanted:
        return
    if not isinstance(found, dict):
        raise RunFolderError(f"{path} is not a plan; choose another --out.")
    what, there, here = _first_difference(found, wanted)
    raise RunFolderError(
        f"{folder} belongs to another plan: its {what} is {_brief(there)}, not {_brief(here)}; choose another --out."
    )


def _first_difference(found: Any, wanted: Any, path: str = "") -> tuple[str, Any, Any]:
    """Where two plans first differ, in words (``benchmarks cells-v1/letter-v1 table sha256``), and both values."""
    pairs: list[tuple[str, Any, Any]] = []
    if isinstance(found, dict) and isinstance(wanted, dict):
        pairs = [(key, found.get(key), wanted.get(key)) for key in dict.fromkeys((*wanted, *found))]
    elif _ids(found) and _ids(found) == _ids(wanted):
        pairs = list(zip(_ids(found), found, wanted, strict=True))
    for name, one, other in pairs:
        if one != other:
            return _first_difference(one, other, f"{path} {name}".strip())
    return path, _ids(found) or found, _ids(wanted) or wanted


def _ids(values: Any) -> list[str]:
    """The ids of a list of benchmarks; empty if it is something else."""
    named = isinstance(values, list) and all(isinstance(value, dict) and "id" in value for value in values)
    return [value["id"] for value in values] if named else []


def _brief(value: Any) -> str:
    text = json.dumps(value)
    return text if len(text) <= 160 else f"{text[:157]}..."


def trials_path(folder: Path, benchmark: str, searcher: str, seed: int) -> Path:
    """Where the trials of one run are, for example ``cells2-v1/mnist1d-v1/smac/seed-003.jsonl``."""
    parts = [re.sub(r"[^\w.-]+", "_", part).lstrip(".") or "_" for part in (*benchmark.split("/"), searcher)]
    return folder.joinpath(*parts, f"seed-{seed:03d}.jsonl")


def write_provenance(folder: Path, command: str | None) -> None:
    """Writes who made a folder, unless that is written already."""
    path = folder / _PROVENANCE
    if path.exists():
        return
    packages = {}
    for name in _PACKAGES:
        try:
            packages[name] = version(name)
        except PackageNotFoundError:
            continue
    provenance = {
        "command": command,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "python": platform.python_version(),
        "platform": f"{platform.system()} {platform.machine()}",
        "packages": packages,
    }
    replace_file(path, json.dumps(provenance, indent=2) + "\n")


def _failure_path(trials: Path) -> Path:
    return trials.with_suffix(".failed.json")


def write_failure(trials: Path, **values: Any) -> None:
    """Marks the run whose trials would be in a file as failed."""
    trials.parent.mkdir(parents=True, exist_ok=True)
    replace_file(_failure_path(trials), json.dumps(values) + "\n")


def clear_failure(trials: Path) -> None:
    """Takes the mark of an earlier failure away."""
    _failure_path(trials).unlink(missing_ok=True)


def write_trials(path: Path, trials: Sequence[Mapping[str, Any]]) -> None:
    """Writes a finished run."""
    encode = json.JSONEncoder(separators=(",", ":"), allow_nan=False, check_circular=False).encode
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, "".join(f"{encode(trial)}\n" for trial in trials))


def read_trials(path: Path) -> list[dict[str, Any]] | None:
    """The trials of a finished run, or None if it has not finished (or its file is damaged, which is logged)."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return None
    try:
        if text and not text.endswith("\n"):
            raise ValueError("its last line is cut off")
        return [json.loads(line) for line in text.splitlines()]
    except ValueError as error:
        _log.warning("%s is damaged (%s); its run is done again.", path, error)
        return None
