"""Which searchers differ: ranks, Friedman's test, Wilcoxon's tests with Holm's correction, cliques.

A block is what all searchers are compared on: one task and seed. Losses are (blocks, searchers), lower is better.

Reference:
    Demsar (2006), Statistical comparisons of classifiers over multiple data sets, JMLR 7. Benavoli, Corani and Mangili
    (2016), Should we really use post-hoc tests based on mean-ranks?, JMLR 17, for Wilcoxon's test in its place.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

__all__ = ["ALPHA", "Friedman", "cliques", "friedman", "holm", "rank", "rank_sum", "signed_rank", "wilcoxon_holm"]

ALPHA = 0.05
_EXACT = 200


class Friedman(NamedTuple):
    """Statistic (chi-squared, corrected for ties) and p-value."""

    statistic: float
    p_value: float


def rank(losses: np.ndarray) -> np.ndarray:
    """Ranks along the last axis, from 1 for the lowest; equal losses share the mean of their ranks."""
    # Few searchers are compared for many blocks and points: all pairs at once are quicker than sorting each row.
    one, other = losses[..., :, None], losses[..., None, :]
    return 0.5 + (one > other).sum(axis=-1) + 0.5 * (one == other).sum(axis=-1)


def friedman(losses: np.ndarray) -> Friedman | None:
    """Friedman's test that no searcher ranks lower than another; None with fewer than 3 searchers or 2 blocks."""
    from scipy.stats import friedmanchisquare

    blocks, searchers = losses.shape
    if searchers < 3 or blocks < 2:
        return None
    if (losses == losses[:, :1]).all():  # all blocks are tied: the statistic is 0 / 0
        return Friedman(0.0, 1.0)
    found = friedmanchisquare(*losses.T)
    return Friedman(float(found.statistic), float(found.pvalue))


def holm(p_values: np.ndarray) -> np.ndarray:
    """Holm's step-down adjustment of p-values (tests,).

    Reference:
        Holm (1979), A simple sequentially rejective multiple test procedure, Scandinavian Journal of Statistics 6.
    """
    order = np.argsort(p_values, kind="stable")
    factors = len(p_values) - np.arange(len(p_values))
    adjusted = np.empty_like(p_values, dtype=float)
    adjusted[order] = np.minimum(np.maximum.accumulate(factors * p_values[order]), 1.0)
    return adjusted


def signed_rank(differences: np.ndarray) -> float:
    """Two-sided p-value of Wilcoxon's signed-rank test; zeros are left out, and 1 is what nothing gives.

    Up to 200 differences it is exact also with ties, which searches that end at the same few architectures have many
    of: the null distribution of the rank sum is built up rank by rank. (With ties SciPy 1.17 is exact up to 13
    differences; it gives p = 0.00018 for 14 equal ones, where 2 of 16,384 sign patterns, 0.00012, are as extreme.)

    Reference:
        Wilcoxon (1945), Individual comparisons by ranking methods, Biometrics Bulletin 1.
    """
    from scipy.stats import rankdata, wilcoxon

    differences = differences[differences != 0]
    if not len(differences):
        return 1.0
    if len(differences) > _EXACT:
        return float(np.asarray(wilcoxon(differences, method="asymptotic"))[1])
    doubled = np.rint(2 * rankdata(np.abs(differences))).astype(int)  # tied ranks may be halves
    distribution = np.zeros(doubled.sum() + 1)
    distribution[0] = 1.0
    for step in doubled:  # the rank has a plus with probability one half
        distribution[step:] = 0.5 * (distribution[step:] + distribution[: len(distribution) - step])
        distribution[:step] *= 0.5
    observed = doubled[differences > 0].sum()
    tail = min(distribution[: observed + 1].sum(), distribution[observed:].sum())
    return float(min(1.0, 2.0 * tail))


def rank_sum(first: np.ndarray, second: np.ndarray) -> float:
    """Two-sided p-value of Wilcoxon's rank-sum (Mann and Whitney's) test of two independent samples.

    Up to 200 values together it is exact also with ties, given the ties: the null distribution of the sum of the first
    sample's ranks counts, rank by rank, the choices of that many values. Infinite losses are ties at the last rank.

    Args:
        first: (runs,), at least one.
        second: (other runs,), at least one.

    Reference:
        Wilcoxon (1945), Individual comparisons by ranking methods, Biometrics Bulletin 1. Mann and Whitney (1947), On a
        test of whether one of two random variables is stochastically larger than the other, Annals of Mathematical
        Statistics 18.
    """
    from scipy.stats import mannwhitneyu, rankdata

    pooled, size = np.concatenate([first, second]), len(first)
    if (pooled == pooled[0]).all():
        return 1.0
    if len(pooled) > _EXACT:
        return float(np.asarray(mannwhitneyu(first, second, method="asymptotic"))[1])
    doubled = np.rint(2 * rankdata(pooled)).astype(int)  # tied ranks may be halves
    most = int(np.sort(doubled)[-size:].sum())
    ways = np.zeros((size + 1, most + 1))  # choices of so many values with this sum
    ways[0, 0] = 1.0
    for step in doubled:
        ways[1:, step:] += ways[:-1, : most + 1 - step].copy()
    distribution, observed = ways[size] / ways[size].sum(), doubled[:size].sum()
    tail = min(distribution[: observed + 1].sum(), distribution[observed:].sum())
    return float(min(1.0, 2.0 * tail))


def wilcoxon_holm(losses: np.ndarray) -> np.ndarray:
    """Adjusted two-sided p-values of all pairs, symmetric (searchers, searchers) with ones on the diagonal.

    Blocks in which a pair is equal are left out of its test (Wilcoxon's own rule); a pair that is equal in all of them
    has p = 1. The size of a difference counts, so losses must mean the same in all blocks.
    """
    searchers = losses.shape[1]
    first, second = np.triu_indices(searchers, k=1)
    raw = np.ones(len(first))
    for number, (i, j) in enumerate(zip(first, second, strict=True)):
        raw[number] = signed_rank(losses[:, i] - losses[:, j])
    p_values = np.ones((searchers, searchers))
    p_values[first, second] = p_values[second, first] = holm(raw)
    return p_values


def cliques(mean_ranks: Sequence[float] | np.ndarray, p_values: np.ndarray, alpha: float = ALPHA) -> list[list[int]]:
    """The bars of a critical-difference diagram: searchers that cannot be told apart.

    Each is a longest stretch of neighbours in the order of mean ranks in which every pair has p >= alpha, so that no
    bar ever covers a pair that differs. A searcher that differs from both its neighbours is in none.

    Returns:
        Indices of the searchers, best first, of each bar.
    """
    order = [int(i) for i in np.argsort(mean_ranks, kind="stable")]
    bars: list[list[int]] = []
    reached = 0
    for start in range(len(order)):
        end = start + 1
        while end < len(order) and all(p_values[order[end], order[i]] >= alpha for i in range(start, end)):
            end += 1
        if end - start > 1 and end > reached:  # not inside the bar before
            bars.append(order[start:end])
        reached = max(reached, end)
    return bars
