"""Surrogates of several tasks and kinds evaluated, in processes of their own; what an older card holds is kept."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from typing import Any

import numpy as np

from metabench.analysis.surrogate_card import surrogate_card, with_ceilings, without_searchers
from metabench.machine import each_done
from metabench.surrogate import Measurements, Settings

__all__ = ["data_digest", "evaluate_surrogates", "kept_evaluations"]

Visits = Mapping[str, np.ndarray]
Done = Callable[[str, str, dict[str, Any]], None]


def data_digest(data: Measurements) -> str:
    """SHA-256 of the measurements that a surrogate is evaluated on."""
    digest = hashlib.sha256()
    for array in (data.digits, data.hyperparameters, data.values):
        if array is not None:
            digest.update(repr(array.shape).encode())
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def _visits_digest(visited: Visits | None) -> str | None:
    if not visited:
        return None
    digest = hashlib.sha256()
    for name in sorted(visited):
        digest.update(name.encode())
        digest.update(np.packbits(visited[name]).tobytes())
    return digest.hexdigest()


def _evaluate(
    data: Measurements, settings: Settings, visited: Visits | None, old: Mapping[str, Any] | None
) -> dict[str, Any]:
    """The whole evaluation, or an ``old`` one whose searchers were others, or none."""
    visits = {"data": data_digest(data), "visits": _visits_digest(visited)}
    if old is None:
        return visits | surrogate_card(data, settings, visited=visited or None)
    return with_ceilings({**old, **visits, **without_searchers(data, visited, settings)}, data, visited)


def _renewed(evaluation: dict[str, Any], data: Measurements) -> dict[str, Any] | None:
    try:
        return with_ceilings(evaluation, data)
    except (AttributeError, KeyError, TypeError, ValueError):  # parts of it are missing, or something else
        return None


def kept_evaluations(card: Any, measured: Mapping[str, Measurements]) -> dict[str, dict[str, Any]]:
    """Task -> model -> evaluation: those of an older card that were made of the very same measurements.

    Ceilings are computed anew: they take no fit.
    """
    tasks = card.get("tasks") if isinstance(card, dict) else None
    out: dict[str, dict[str, Any]] = {}
    for task, data in measured.items():
        old = tasks.get(task) if isinstance(tasks, dict) else None
        found = old.get("surrogate") if isinstance(old, dict) else None
        if isinstance(found, dict):
            digest = data_digest(data)
            kept = {m: e for m, e in found.items() if isinstance(e, dict) and e.get("data") == digest}
            renewed = {m: _renewed(e, data) for m, e in kept.items()}
            out[task] = {m: e for m, e in renewed.items() if e is not None}
    return out


def evaluate_surrogates(
    measured: Mapping[str, Measurements],
    settings: Sequence[Settings],
    *,
    visited: Mapping[str, Visits],
    kept: Mapping[str, Mapping[str, Any]],
    done: Done,
    workers: int = 1,
) -> None:
    """Evaluates every kind of surrogate on every task, but what is ``kept`` of the same settings.

    Where searchers are given and a kept evaluation is of others, or none, only leave-one-searcher-out is done.

    Args:
        measured: task -> its measurements.
        settings: a kind of surrogate each.
        visited: task -> searcher -> bool ``(architectures,)``; may lack tasks.
        kept: as of :func:`kept_evaluations`.
        done: is told task, model and evaluation as soon as there is one.
        workers: processes; 1 stays in this one.
    """
    jobs = {}
    for task, data in measured.items():
        seen = visited.get(task)
        for s in settings:
            old = kept.get(task, {}).get(s.model)
            old = old if old is not None and old.get("settings") == asdict(s) else None
            if old is None or (seen and old.get("visits") != _visits_digest(seen)):
                jobs[task, s.model] = (data, s, seen, old)
    for (task, model), found in each_done(_evaluate, jobs, min(workers, len(jobs))):
        done(task, model, found)
