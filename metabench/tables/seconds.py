"""Training times that were measured on machines of changing load, and by trainers of changing speed, made comparable.

A table is built over many hours: a unit's clock depends on what else ran, and a faster trainer measures less for the
same numbers. The simulated clock of a search compares rows, so what it reads must not depend on when a row was trained.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from metabench.spaces.architecture import Architecture

__all__ = ["Evened", "even_out"]

_ROUNDS = 20  # of the alternation between units and blocks; it settles in a few
_ENOUGH = 6  # rows of a unit from which its load can be told


@dataclass(frozen=True)
class Evened:
    """Times of one task's rows.

    Attributes:
        seconds: like those given; rows without a time are NaN.
        measured: rows whose time is their own, divided by their unit's factor.
        estimated: rows whose time is a sum over their blocks.
        factors: least and greatest factor of a unit, relative to the median one.
        error: root mean square of the relative error of such sums on rows of units that were left out of the fit, at
            the last epoch; NaN with fewer than two units.
    """

    seconds: np.ndarray
    measured: int
    estimated: int
    factors: tuple[float, float]
    error: float

    def summary(self) -> dict[str, Any]:
        """Counts, factors and error, for a manifest; what is unknown is None."""
        return {
            "measured": self.measured,
            "estimated": self.estimated,
            "unit_factors": [round(factor, 3) for factor in self.factors],
            "estimates_error": None if np.isnan(self.error) else round(self.error, 4),
        }


def _counts(architectures: Sequence[Architecture]) -> np.ndarray:
    """How often each block stands in each architecture, and a one, ``(architectures, blocks + 1)``."""
    names = sorted({name for a in architectures for name in a.blocks})
    counts = np.ones((len(architectures), len(names) + 1))
    for i, architecture in enumerate(architectures):
        for k, name in enumerate(names):
            counts[i, k] = architecture.blocks.count(name)
    return counts


def _fit(counts: np.ndarray, seconds: np.ndarray) -> np.ndarray:
    """Seconds of each block, that minimise the relative error of their sums; ``seconds`` ``(rows,)``, positive."""
    ridge = 1e-6 * np.eye(counts.shape[1])
    scaled = counts / seconds[:, None]
    return np.linalg.solve(scaled.T @ scaled + ridge * np.trace(scaled.T @ scaled), scaled.sum(0))


def _unit_factors(counts: np.ndarray, seconds: np.ndarray, units: np.ndarray) -> np.ndarray:
    """Each row's factor of its unit, ``(rows,)``: time = factor x sum over blocks, the median unit's factor is 1.

    A unit of few rows keeps the factor 1: it would take up what is the rows' own.
    """
    ids, place = np.unique(units, return_inverse=True)
    factors, enough = np.ones(len(ids)), np.bincount(place) >= _ENOUGH
    if not enough.any():
        return factors[place]
    for _ in range(_ROUNDS):
        sums = counts @ _fit(counts, seconds / factors[place])
        ratio = seconds / np.maximum(sums, 1e-3 * seconds)
        factors = np.array([np.median(ratio[place == i]) if enough[i] else 1.0 for i in range(len(ids))])
        factors[enough] /= np.median(factors[enough])
    return factors[place]


def even_out(
    seconds: np.ndarray, architectures: Sequence[Architecture], units: np.ndarray, trusted: np.ndarray
) -> Evened:
    """Times of one task, as if all had been measured by today's trainer in a unit of the median load.

    A trusted row keeps its time, divided by its unit's factor. Of the others each gets, epoch by epoch, the sum of what
    its blocks take in the trusted rows. Where those lack a block, all rows are trusted: only the load is taken out.

    Args:
        seconds: up to each epoch, ``(architectures, seeds, epochs)``; NaN where there is no row, or no such epoch.
        architectures: the first axis.
        units: which unit trained a row, ``(architectures, seeds)`` int, negative where there is none.
        trusted: whether today's trainer did, ``(architectures, seeds)`` bool.
    """
    seconds = seconds.astype(np.float64)
    last = np.nanmax(np.where(np.isnan(seconds), -np.inf, seconds), axis=-1, initial=-np.inf)
    known = (units >= 0) & (last > 0)
    if not known.any():
        return Evened(seconds.astype(np.float32), 0, 0, (1.0, 1.0), float("nan"))
    counts = _counts(architectures)
    covered = counts[(known & trusted).any(1)].any(0) | ~counts[known.any(1)].any(0)
    own = known & trusted if covered.all() else known
    a, s = np.nonzero(own)
    factor = _unit_factors(counts[a], last[a, s], units[a, s])
    seconds[a, s] /= factor[:, None]
    rest = np.nonzero(known & ~own)
    for epoch in range(seconds.shape[-1]):
        there = seconds[a, s, epoch]
        if not (there > 0).all():
            continue
        seconds[(*rest, epoch)] = np.maximum(counts[rest[0]] @ _fit(counts[a], there), there.min() / 2)
    return Evened(
        seconds=seconds.astype(np.float32),
        measured=len(a),
        estimated=len(rest[0]),
        factors=(float(factor.min()), float(factor.max())),
        error=_error(counts[a], last[a, s] / factor, units[a, s]),
    )


def _error(counts: np.ndarray, seconds: np.ndarray, units: np.ndarray) -> float:
    """Of sums fitted on every second unit and compared with the others, and the other way round."""
    half = np.searchsorted(np.unique(units), units) % 2 == 0
    if half.all():
        return float("nan")
    wrong = [counts[b] @ _fit(counts[a], seconds[a]) / seconds[b] - 1 for a, b in ((half, ~half), (~half, half))]
    return float(np.sqrt(np.mean(np.concatenate(wrong) ** 2)))
