"""Reads run folders: the one place that knows their format, which ``metabench/searchers/README.md`` describes.

The format is the contract, so nothing of :mod:`metabench.searchers` is imported. Fields that are not known are passed
over, and those that older folders lack have a default.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metabench.errors import RunFolderError

__all__ = ["Gap", "Run", "RunFolder", "read_folder", "run_of_trials"]

_SCHEMA = 1
_PLAN_KEYS = ("schema", "kind", "searchers", "benchmarks", "trials", "seeds")


@dataclass(frozen=True, eq=False)
class Run:
    """One finished run, its trials in the order in which they finished; NaN where a number is not there.

    Attributes:
        searcher: registered name.
        task: id of the benchmark.
        seed: number of the run.
        evaluations: full trainings spent when each trial finished, ascending, (trials,).
        seconds: simulated clock when each trial finished (s), ascending, (trials,).
        started: simulated clock when each trial started (s), (trials,).
        overhead: the searcher's own seconds in the whole run.
        val_regret: of the incumbent, in score units, (trials,).
        test_regret: likewise.
        val_score: of the incumbent: seed mean, or what its training showed, (trials,).
        test_score: likewise.
        observed: validation score of each trial, (trials,).
        codes: canonical code of each trial, int64 (trials,).
        architectures: block names of each trial.
        epochs: fidelity of each trial, int64 (trials,).
        replicates: replicate of each trial, int64 (trials,).
        statuses: what became of each trial.
        incumbent: code of the last incumbent, None if no training succeeded.
    """

    searcher: str
    task: str
    seed: int
    evaluations: np.ndarray
    seconds: np.ndarray
    started: np.ndarray
    overhead: float
    val_regret: np.ndarray
    test_regret: np.ndarray
    val_score: np.ndarray
    test_score: np.ndarray
    observed: np.ndarray
    codes: np.ndarray
    architectures: tuple[str, ...]
    epochs: np.ndarray
    replicates: np.ndarray
    statuses: tuple[str, ...]
    incumbent: int | None


@dataclass(frozen=True)
class Gap:
    """A planned run that is not there, and why."""

    searcher: str
    task: str
    seed: int
    reason: str


@dataclass(frozen=True)
class RunFolder:
    """What ``metabench search`` left.

    Attributes:
        path: the folder.
        plan: content of ``run.json``.
        runs: finished runs.
        gaps: planned runs that are not finished, failed or are damaged.
        provenance: content of ``provenance.json``; empty if there is none.
    """

    path: Path
    plan: Mapping[str, Any]
    runs: tuple[Run, ...]
    gaps: tuple[Gap, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)


def read_folder(path: Path) -> RunFolder:
    """Reads one run folder.

    Raises:
        RunFolderError: if it is no run folder, or one of a newer schema, or its plan is damaged.
    """
    plan = _read_plan(path)
    runs, gaps = [], []
    for benchmark in plan["benchmarks"]:
        for searcher in plan["searchers"]:
            for seed in range(plan["seeds"]):
                found = _read_run(path, searcher, benchmark["id"], seed)
                (runs if isinstance(found, Run) else gaps).append(found)
    return RunFolder(path, plan, tuple(runs), tuple(gaps), _read_object(path / "provenance.json") or {})


def _read_plan(path: Path) -> dict[str, Any]:
    place = path / "run.json"
    if not path.is_dir():
        what = "is a file" if path.exists() else "is not there"
        raise RunFolderError(f"{path} {what}; expected a run folder, as 'metabench search ... --out DIR' makes it.")
    if not place.is_file():
        inside = sorted(child.parent.name for child in path.glob("*/run.json"))
        hint = f" Run folders inside it: {', '.join(inside[:5])}." if inside else ""
        raise RunFolderError(
            f"{path} is no run folder (it holds no run.json); expected what 'metabench search --out DIR' makes.{hint}"
        )
    plan = _read_object(place)
    if plan is None:
        raise RunFolderError(f"{place} is not a readable JSON object; run the search again into another folder.")
    lacking = [key for key in _PLAN_KEYS if key not in plan]
    if lacking:
        raise RunFolderError(f"{place} has no {', '.join(lacking)}; expected the plan of 'metabench search'.")
    if not isinstance(plan["schema"], int) or plan["schema"] > _SCHEMA:
        raise RunFolderError(
            f"{place}: schema {plan['schema']!r} is newer than this metabench reads ({_SCHEMA}); upgrade metabench."
        )
    return plan


def _read_object(path: Path) -> dict[str, Any] | None:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def run_file(folder: Path, task: str, searcher: str, seed: int) -> Path:
    """Where the trials of one run are: names with anything but letters, digits and ``_.-`` replaced."""
    parts = [re.sub(r"[^\w.-]+", "_", part).lstrip(".") or "_" for part in (*task.split("/"), searcher)]
    return folder.joinpath(*parts, f"seed-{seed:03d}.jsonl")


def _read_run(folder: Path, searcher: str, task: str, seed: int) -> Run | Gap:
    path = run_file(folder, task, searcher, seed)
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        failure = _read_object(path.with_suffix(".failed.json"))
        return Gap(searcher, task, seed, f"it raised {failure['error']}" if failure else "not finished")
    except (OSError, UnicodeDecodeError) as error:
        return Gap(searcher, task, seed, f"its file cannot be read ({error})")
    if not text:
        return Gap(searcher, task, seed, "no trial: nothing could be asked")
    try:
        if not text.endswith("\n"):
            raise ValueError("its last line is cut off")
        return run_of_trials(searcher, task, seed, json.loads(f"[{','.join(text.splitlines())}]"))
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        what = f"no field {error}" if isinstance(error, KeyError) else str(error)
        return Gap(searcher, task, seed, f"its file is damaged ({what})")


def run_of_trials(searcher: str, task: str, seed: int, trials: Sequence[Mapping[str, Any]]) -> Run:
    """A run from its trials, at least one, each with the documented fields.

    Raises:
        KeyError, TypeError, ValueError: if a field is missing or no number.
    """

    def column(key: str, default: list[float] | None = None) -> np.ndarray:
        if default is not None and key not in trials[0]:
            return np.array(default, dtype=float)
        return np.array([np.nan if trial[key] is None else trial[key] for trial in trials], dtype=float)

    unknown = [np.nan] * len(trials)
    incumbent = trials[-1]["incumbent"]
    seconds = column("simulated_seconds")
    return Run(
        searcher=searcher,
        task=task,
        seed=seed,
        evaluations=column("evaluations", [float(number) for number in range(1, len(trials) + 1)]),
        seconds=seconds,
        started=column("started_seconds", [0.0, *seconds[:-1].tolist()]),
        overhead=float(trials[-1]["overhead_seconds"]),
        val_regret=column("val_regret"),
        test_regret=column("test_regret"),
        val_score=column("incumbent_val_score", unknown),
        test_score=column("incumbent_test_score", unknown),
        observed=column("val_score"),
        codes=np.array([trial["code"] for trial in trials], dtype=np.int64),
        architectures=tuple(str(trial["architecture"]) for trial in trials),
        epochs=np.array([trial["epoch"] for trial in trials], dtype=np.int64),
        replicates=np.array([trial["seed"] for trial in trials], dtype=np.int64),
        statuses=tuple(str(trial["status"]) for trial in trials),
        incumbent=None if incumbent is None else int(incumbent),
    )
