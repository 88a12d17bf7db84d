"""How far a table's scores can be trusted: architectures against seeds, and the ceilings that noise sets."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np

__all__ = ["Reliability", "kendall_tau", "r_squared", "reliability", "seed_tau", "sparse_tau", "tau_ceiling"]


@dataclass(frozen=True)
class Reliability:
    """One-way random effects of scores ``(architectures, seeds)``.

    Attributes:
        architectures: how many have at least one score.
        replicates: mean number of seeds (the harmonic-like n0 of unbalanced analysis of variance).
        architecture_sd: between architectures, seed noise taken out.
        seed_sd: between the seeds of one architecture.
        icc: intraclass correlation of one seed; None if it cannot be estimated.
        icc_low, icc_high: its 95% interval.
        r2_ceiling: the R2 that perfect knowledge of every architecture's true mean would reach against the measured
            means.
        tau_ceiling: Kendall's tau of the same, by :func:`tau_ceiling`.
    """

    architectures: int
    replicates: float
    architecture_sd: float
    seed_sd: float
    icc: float | None
    icc_low: float | None
    icc_high: float | None
    r2_ceiling: float | None
    tau_ceiling: float | None


def reliability(scores: np.ndarray, level: float = 0.95) -> Reliability:
    """Analysis of variance of ``(architectures, seeds)``; NaN is a missing cell.

    References:
        Shrout and Fleiss (1979), Intraclass correlations: ICC(1) with its F interval. Unbalanced groups by the usual n0
        (Searle, Casella and McCulloch 1992, Variance components), for which the interval is approximate.
    """
    from scipy.stats import f

    known = ~np.isnan(scores)
    count = known.sum(axis=1)
    rows = count > 0
    scores, known, count = scores[rows], known[rows], count[rows]
    a, total = len(scores), int(count.sum())
    if a < 2 or total <= a:
        sd = float(np.nanstd(scores, ddof=1)) if a > 1 else float("nan")
        return Reliability(a, float(count.mean()) if a else 0.0, sd, float("nan"), None, None, None, None, None)
    filled = np.where(known, scores, 0.0)
    means = filled.sum(axis=1) / count
    grand = filled.sum() / total
    between = (count * (means - grand) ** 2).sum() / (a - 1)
    within = (np.where(known, scores - means[:, None], 0.0) ** 2).sum() / (total - a)
    n0 = (total - (count**2).sum() / total) / (a - 1)
    architecture = max((between - within) / n0, 0.0)
    if within == 0.0:
        return Reliability(a, float(n0), float(np.sqrt(architecture)), 0.0, 1.0, 1.0, 1.0, 1.0, 1.0)
    ratio = between / within
    low = ratio / f.ppf(0.5 + level / 2, a - 1, total - a)
    high = ratio * f.ppf(0.5 + level / 2, total - a, a - 1)
    icc = architecture / (architecture + within)
    trust = architecture / (architecture + within / n0)
    return Reliability(
        architectures=a,
        replicates=float(n0),
        architecture_sd=float(np.sqrt(architecture)),
        seed_sd=float(np.sqrt(within)),
        icc=float(icc),
        icc_low=float(max((low - 1) / (low + n0 - 1), 0.0)),
        icc_high=float(max((high - 1) / (high + n0 - 1), 0.0)),
        r2_ceiling=float(trust),
        tau_ceiling=tau_ceiling(seed_tau(scores), float(n0)),
    )


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
