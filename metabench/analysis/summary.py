"""Section of a report: what all tasks and runs say together, with intervals."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from metabench.analysis.aggregate import (
    CONFIDENCE,
    RESAMPLES,
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
    performance_profile,
    profile_bands,
)
from metabench.analysis.comparison import Comparison, final_losses
from metabench.seeding import numpy_generator

__all__ = ["summary_section"]

_THRESHOLDS = 60


def summary_section(comparison: Comparison, scale: Mapping[str, float], *, scaled: bool) -> dict[str, Any] | None:
    """Interquartile mean, performance profile and probability of improvement; None without a common task.

    Args:
        comparison: the runs.
        scale: task label -> unit of its losses.
        scaled: whether these units are the median architecture's regret.
    """
    tasks = comparison.common_tasks
    if not tasks:
        return None
    losses = {
        searcher: [final_losses(comparison, searcher, task) / scale[task.label] for task in tasks]
        for searcher in comparison.searchers
    }
    thresholds = _thresholds(np.concatenate([values for found in losses.values() for values in found]))
    means, profiles = [], []
    for searcher, found in losses.items():
        means.append(bootstrap_interval(found, interquartile_mean, numpy_generator("interquartile-mean", searcher)))
        bands = profile_bands(found, thresholds, numpy_generator("profile", searcher))
        lower, upper = (None, None) if bands is None else bands
        profiles.append({"share": performance_profile(found, thresholds), "lower": lower, "upper": upper})
    return {
        "tasks": [task.label for task in tasks],
        "measure": " or ".join(sorted({task.measure for task in tasks}, reverse=True)),
        "scaled": scaled,
        "confidence": CONFIDENCE,
        "resamples": RESAMPLES,
        "interquartile_means": [interval._asdict() for interval in means],
        "thresholds": thresholds,
        "profiles": profiles,
        "improvement": _improvement(losses),
    }


def _thresholds(losses: np.ndarray) -> np.ndarray:
    """Zero and an even grid in logarithm over the finite losses."""
    positive = losses[np.isfinite(losses) & (losses > 0)]
    if not positive.size:
        return np.zeros(1)
    low, high = max(positive.min(), 1e-3 * positive.max()) / 1.5, 1.05 * positive.max()
    return np.concatenate([[0.0], np.geomspace(low, high, _THRESHOLDS)])


def _improvement(losses: Mapping[str, list[np.ndarray]]) -> list[list[dict[str, Any] | None]]:
    """Row beats column: each pair is computed once, and turned round for its mirror."""
    names = list(losses)
    table: list[list[dict[str, Any] | None]] = [[None] * len(names) for _ in names]
    for i, first in enumerate(names):
        for j in range(i + 1, len(names)):
            second = names[j]
            found = improvement_interval(losses[first], losses[second], numpy_generator("improvement", first, second))
            table[i][j] = found._asdict()
            table[j][i] = {
                "value": 1 - found.value,
                "lower": None if found.upper is None else 1 - found.upper,
                "upper": None if found.lower is None else 1 - found.lower,
            }
    return table
