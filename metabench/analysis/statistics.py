"""Regret curves and their quartiles: pure functions on arrays. NaN means "no incumbent yet"."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["Quartiles", "best_so_far", "held_curves", "quartile_curves", "quartiles", "regret_at", "step_values"]


class Quartiles(NamedTuple):
    """First quartile, median and third quartile over runs; all None if no run has a value."""

    lower: float | None
    median: float | None
    upper: float | None


def best_so_far(scores: np.ndarray) -> np.ndarray:
    """Running maximum along the last axis, passing over NaN (a failed training); NaN before the first score."""
    best = np.maximum.accumulate(np.where(np.isnan(scores), -np.inf, scores), axis=-1)
    return np.where(np.isneginf(best), np.nan, best)


def held_curves(curves: Sequence[np.ndarray], length: int) -> np.ndarray:
    """Stacks curves (each (trials,)) to (runs, length); a curve that ended early holds its last value.

    A curve without any trial is NaN throughout.
    """
    stacked = np.full((len(curves), length), np.nan)
    for row, curve in zip(stacked, curves, strict=True):
        kept = curve[:length]
        row[: len(kept)] = kept
        if len(kept):
            row[len(kept) :] = kept[-1]
    return stacked


def regret_at(curves: np.ndarray, number: int) -> np.ndarray:
    """The values (runs,) of curves (runs, trials) after ``number`` trials, counted from 1."""
    return curves[:, number - 1]


def step_values(times: np.ndarray, values: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """A right-continuous step function on a grid: the value of the last trial finished by then, NaN before the first.

    Args:
        times: when each trial finished, ascending, (trials,).
        values: the value from then on, (trials,).
        grid: points of time, (points,).

    Returns:
        (points,).
    """
    index = np.searchsorted(times, grid, side="right") - 1
    return np.where(index < 0, np.nan, np.asarray(values, dtype=float)[np.maximum(index, 0)])


def quartiles(values: np.ndarray) -> Quartiles:
    """Quartiles of (runs,) by linear interpolation; runs without a value are left out."""
    known = values[~np.isnan(values)]
    if not len(known):
        return Quartiles(None, None, None)
    return Quartiles(*(float(value) for value in np.quantile(known, (0.25, 0.5, 0.75))))


def quartile_curves(curves: np.ndarray) -> np.ndarray:
    """Quartiles over runs of curves (runs, points): (3, points), NaN where any run has no value yet."""
    return np.quantile(curves, (0.25, 0.5, 0.75), axis=0)
