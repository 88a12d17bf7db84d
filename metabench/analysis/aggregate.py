"""Aggregates over tasks and runs with their uncertainty: interquartile mean, performance profile, improvement.

Values are losses (lower is better), one array of runs a task. A run without any result is infinite: it is the worst of
its task, and an aggregate that it reaches is infinite too.

Reference:
    Agarwal et al. (2021), Deep reinforcement learning at the edge of the statistical precipice, NeurIPS,
    arXiv:2108.13264. There scores are rewards; a loss is a negated reward.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np

from metabench.statistics import interquartile_mean

__all__ = [
    "Interval",
    "bootstrap_interval",
    "improvement_interval",
    "interquartile_mean",
    "performance_profile",
    "probability_of_improvement",
    "profile_bands",
    "resample",
]

RESAMPLES = 2000
CONFIDENCE = 0.95


class Interval(NamedTuple):
    """An estimate and the ends of its interval; both are None where no stratum has two runs."""

    value: float
    lower: float | None
    upper: float | None


def resample(strata: Sequence[np.ndarray], generator: np.random.Generator, resamples: int) -> list[np.ndarray]:
    """Draws the runs of each task anew, with replacement: (runs,) becomes (resamples, runs)."""
    return [values[generator.integers(len(values), size=(resamples, len(values)))] for values in strata]


def bootstrap_interval(
    strata: Sequence[np.ndarray],
    statistic: Callable[[np.ndarray], np.ndarray],
    generator: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Interval:
    """A statistic of all runs of all tasks with its stratified bootstrap percentile interval.

    Args:
        strata: losses of the runs of each task, each (runs,).
        statistic: of the last axis, such as :func:`interquartile_mean`.
        generator: draws the resamples.
        resamples: how many.
        confidence: coverage of the interval.
    """
    value = float(statistic(np.concatenate(strata)))
    if not _has_spread(strata):
        return Interval(value, None, None)
    drawn = statistic(np.concatenate(resample(strata, generator, resamples), axis=-1))
    return Interval(value, *_percentiles(drawn, confidence))


def performance_profile(strata: Sequence[np.ndarray], thresholds: np.ndarray) -> np.ndarray:
    """Share of runs whose loss is at most each threshold, the mean over tasks: (..., thresholds).

    Args:
        strata: losses of each task, each (..., runs).
        thresholds: (thresholds,).
    """
    return np.mean([(values[..., None] <= thresholds).mean(axis=-2) for values in strata], axis=0)


def profile_bands(
    strata: Sequence[np.ndarray],
    thresholds: np.ndarray,
    generator: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> np.ndarray | None:
    """Pointwise bootstrap interval of a performance profile, (2, thresholds); None where no task has two runs."""
    if not _has_spread(strata):
        return None
    # One threshold at a time keeps the arrays small; counting is exact.
    drawn = resample(strata, generator, resamples)
    profile = np.stack([performance_profile(drawn, thresholds[[i]])[:, 0] for i in range(len(thresholds))], axis=-1)
    tail = (1 - confidence) / 2
    return np.quantile(profile, (tail, 1 - tail), axis=0)


def probability_of_improvement(first: Sequence[np.ndarray], second: Sequence[np.ndarray]) -> np.ndarray:
    """Probability that a run of ``first`` has a lower loss than one of ``second``, ties half, the mean over tasks.

    Args:
        first: losses of each task, each (..., runs).
        second: of the same tasks.
    """
    shares = []
    for x, y in zip(first, second, strict=True):
        lower, equal = x[..., :, None] < y[..., None, :], x[..., :, None] == y[..., None, :]
        shares.append(lower.mean(axis=(-2, -1)) + 0.5 * equal.mean(axis=(-2, -1)))
    return np.mean(shares, axis=0)


def improvement_interval(
    first: Sequence[np.ndarray],
    second: Sequence[np.ndarray],
    generator: np.random.Generator,
    *,
    resamples: int = RESAMPLES,
    confidence: float = CONFIDENCE,
) -> Interval:
    """:func:`probability_of_improvement` with its interval; both sides are resampled."""
    value = float(probability_of_improvement(first, second))
    if not _has_spread(first) or not _has_spread(second):
        return Interval(value, None, None)
    drawn = probability_of_improvement(resample(first, generator, resamples), resample(second, generator, resamples))
    return Interval(value, *_percentiles(drawn, confidence))


def _has_spread(strata: Sequence[np.ndarray]) -> bool:
    return any(len(values) > 1 for values in strata)


def _percentiles(drawn: np.ndarray, confidence: float) -> tuple[float, float]:
    """Ends of the percentile interval; drawn values may be infinite, between which nothing is interpolated."""
    tail = (1 - confidence) / 2
    method = "linear" if np.isfinite(drawn).all() else "inverted_cdf"
    lower, upper = np.quantile(drawn, (tail, 1 - tail), method=method)
    return float(lower), float(upper)
