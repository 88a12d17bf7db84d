"""How far a table's scores can be trusted: architectures against seeds, and the ceilings that noise sets."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

__all__ = ["Reliability", "kendall_tau", "r_squared", "reliability", "seed_tau", "sparse_tau", "tau_ceiling"]


@dataclass(frozen=True)
class Reliability:
    """Random effects of scores ``(architectures, seeds)``, one-way and two-way.

    Every architecture is trained with the same seeds, and a seed may be good or bad for all of them: such a shift is
    noise in a score, but not in an order of architectures, nor in a fit to their means.

    Attributes:
        architectures: how many have at least one score.
        replicates: mean number of seeds (the harmonic-like n0 of unbalanced analysis of variance).
        architecture_sd: between architectures, seed noise taken out.
        seed_sd: between the seeds of one architecture, shifts included.
        shift_sd: between the seeds' means over all architectures.
        icc: intraclass correlation of one seed, ICC(1, 1); None if it cannot be estimated.
        icc_low, icc_high: its 95% interval.
        consistency: the same with the seeds' shifts taken out, ICC(3, 1).
        consistency_low, consistency_high: its 95% interval.
        r2_ceiling: the R2 that perfect knowledge of every architecture's true mean would reach against the measured
            means, if what noise is left were independent between architectures.
        tau_ceiling: Kendall's tau of the same, by :func:`tau_ceiling`.
    """

    architectures: int
    replicates: float
    architecture_sd: float
    seed_sd: float
    shift_sd: float
    icc: float | None
    icc_low: float | None
    icc_high: float | None
    consistency: float | None
    consistency_low: float | None
    consistency_high: float | None
    r2_ceiling: float | None
    tau_ceiling: float | None


def reliability(scores: np.ndarray, level: float = 0.95) -> Reliability:
    """Analysis of variance of ``(architectures, seeds)``; NaN is a missing cell.

    References:
        Shrout and Fleiss (1979), Intraclass correlations: ICC(1, 1) and ICC(3, 1) with their F intervals. Unbalanced
        groups by the usual n0 (Searle, Casella and McCulloch 1992, Variance components), for which the intervals are
        approximate; seeds' shifts are those among the architectures that have all seeds.
    """
    known = ~np.isnan(scores)
    count = known.sum(axis=1)
    rows = count > 0
    scores, known, count = scores[rows], known[rows], count[rows]
    a, total = len(scores), int(count.sum())
    if a < 2 or total <= a:
        sd = float(np.nanstd(scores, ddof=1)) if a > 1 else float("nan")
        nothing = float("nan")
        return Reliability(a, float(count.mean()) if a else 0.0, sd, nothing, nothing, *[None] * 8)
    shifts, degrees = _shifts(scores, known)
    n0 = (total - (count**2).sum() / total) / (a - 1)
    one, two = (_components(scores - by, known, n0, freedom) for by, freedom in ((0.0, 0), (shifts, degrees)))
    return Reliability(
        architectures=a,
        replicates=float(n0),
        architecture_sd=float(np.sqrt(one[0])),
        seed_sd=float(np.sqrt(one[1])),
        shift_sd=float(shifts.std(ddof=1)) if degrees else 0.0,
        **dict(zip(("icc", "icc_low", "icc_high"), _correlation(*one, n0, level), strict=True)),
        **dict(zip(("consistency", "consistency_low", "consistency_high"), _correlation(*two, n0, level), strict=True)),
        r2_ceiling=1.0 if two[1] == 0.0 else float(two[0] / (two[0] + two[1] / n0)),
        tau_ceiling=1.0 if one[1] == 0.0 else tau_ceiling(seed_tau(scores), float(n0)),
    )


def _shifts(scores: np.ndarray, known: np.ndarray) -> tuple[np.ndarray, int]:
    """The seeds' means less their mean, ``(seeds,)``, and their degrees of freedom; zero with too little to tell."""
    complete = scores[known.all(axis=1)]
    if len(complete) < 2:
        return np.zeros(scores.shape[1]), 0
    return complete.mean(axis=0) - complete.mean(), scores.shape[1] - 1


def _components(
    scores: np.ndarray, known: np.ndarray, n0: float, taken: int
) -> tuple[float, float, float, tuple[int, int]]:
    """Variances of architectures and of noise, the ratio of mean squares, and its degrees of freedom."""
    count, total = known.sum(axis=1), int(known.sum())
    filled = np.where(known, scores, 0.0)
    means, a = filled.sum(axis=1) / count, len(scores)
    free = (a - 1, max(total - a - taken, 1))
    between = (count * (means - filled.sum() / total) ** 2).sum() / free[0]
    within = (np.where(known, scores - means[:, None], 0.0) ** 2).sum() / free[1]
    ratio = between / within if within > 0 else np.inf
    return float(max((between - within) / n0, 0.0)), float(within), float(ratio), free


def _correlation(
    architecture: float, noise: float, ratio: float, free: tuple[int, int], n0: float, level: float
) -> tuple[float, float, float]:
    """Intraclass correlation and its interval."""
    from scipy.stats import f

    if noise == 0.0:
        return 1.0, 1.0, 1.0
    low = ratio / f.ppf(0.5 + level / 2, *free)
    high = ratio * f.ppf(0.5 + level / 2, *free[::-1])
    bounds = [float(max((bound - 1) / (bound + n0 - 1), 0.0)) for bound in (low, high)]
    return float(architecture / (architecture + noise)), bounds[0], bounds[1]


def tau_ceiling(seeds: float | None, replicates: float) -> float | None:
    """Kendall's tau that the true order would reach against the order of means over ``replicates`` seeds.

    Ranks are taken for normal: the seeds' correlation follows from their tau by Greiner's relation, tau = 2 / pi
    arcsin(rho), the means' reliability from that by Spearman and Brown's formula. Unlike a ratio of variances, this is
    not moved by a few outlying architectures.

    Args:
        seeds: tau between two seeds, as :func:`seed_tau` gives it.
        replicates: behind each mean.

    References:
        Kendall (1949), Rank and product-moment correlation. Spearman (1910) and Brown (1910), on the reliability of
        means.
    """
    if seeds is None:
        return None
    one = max(float(np.sin(np.pi / 2 * seeds)), 0.0)
    mean = replicates * one / (1 + (replicates - 1) * one)
    return float(2 / np.pi * np.arcsin(np.sqrt(mean)))


def kendall_tau(first: np.ndarray, second: np.ndarray) -> float | None:
    """Kendall's tau-b over the pairs that both have; None for fewer than three, or if either is constant."""
    from scipy.stats import kendalltau

    known = np.isfinite(first) & np.isfinite(second)
    if known.sum() < 3:
        return None
    found: Any = kendalltau(first[known], second[known])
    tau = float(found.statistic)
    return tau if tau == tau else None


def sparse_tau(predicted: np.ndarray, measured: np.ndarray) -> float | None:
    """Kendall's tau after predictions are rounded to 0.1 percentage point, so that hair's breadths decide nothing.

    Reference:
        Yu et al. (2020), Evaluating the search phase of neural architecture search, arXiv:1902.08142; as used by
        NAS-Bench-301 (Zela et al. 2022, arXiv:2008.09777).
    """
    return kendall_tau(np.round(predicted, 3), measured)


def seed_tau(scores: np.ndarray) -> float | None:
    """Mean of Kendall's tau over all pairs of seeds, of ``(architectures, seeds)``; None without two seeds."""
    taus = [kendall_tau(scores[:, i], scores[:, j]) for i, j in combinations(range(scores.shape[1]), 2)]
    found = [tau for tau in taus if tau is not None]
    return float(np.mean(found)) if found else None


def r_squared(predicted: np.ndarray, measured: np.ndarray) -> float | None:
    """1 - squared error / variance over what both have; None if there are fewer than three or no variance."""
    known = np.isfinite(predicted) & np.isfinite(measured)
    if known.sum() < 3:
        return None
    spread = float(measured[known].var())
    return 1.0 - float(((predicted - measured)[known] ** 2).mean()) / spread if spread > 0 else None
