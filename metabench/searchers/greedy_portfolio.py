"""A portfolio learned from other tasks, then local search: a meta-learned warm start."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from metabench.errors import ArgumentError
from metabench.searchers.local_search import LocalSearch
from metabench.searchers.searcher import Searcher, Trial
from metabench.tables.result import Result

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["GreedyPortfolio", "greedy_order", "normalised_regret"]


def normalised_regret(scores: np.ndarray) -> np.ndarray:
    """Regret of each task scaled to [0, 1]: 0 for its best architecture, 1 for its worst and for failed ones.

    Args:
        scores: ``(tasks, n)``, NaN where an architecture failed or is unknown.

    Returns:
        ``(tasks, n)``.
    """
    best = np.nanmax(scores, axis=1, keepdims=True)
    spread = best - np.nanmin(scores, axis=1, keepdims=True)
    regret = np.divide(best - scores, spread, out=np.zeros_like(scores), where=spread > 0)
    return np.where(np.isnan(scores), 1.0, regret)


def greedy_order(regret: np.ndarray, size: int) -> list[int]:
    """Columns in the order in which the greedy portfolio takes them.

    Each step takes the column that lowers the sum over tasks of the best regret in the portfolio most; ties go to the
    lower sum of its own, then to the lower number. When nothing can lower it, the portfolio is full, and the
    next one begins from what is left.

    Args:
        regret: ``(tasks, n)``.
        size: how many columns; at most n.
    """
    tasks, n = regret.shape
    own = regret.sum(axis=0)
    left = np.ones(n, dtype=bool)
    reached = np.full(tasks, np.inf)
    order: list[int] = []
    while len(order) < min(size, n):
        sums = np.where(left, np.minimum(regret, reached[:, None]).sum(axis=0), np.inf)
        if sums.min() >= reached.sum():
            reached = np.full(tasks, np.inf)
            continue
        tied = np.flatnonzero(sums == sums.min())
        column = int(tied[np.argmin(own[tied])])
        order.append(column)
        left[column] = False
        reached = np.minimum(reached, regret[:, column])
    return order


class GreedyPortfolio(Searcher):
    """Tries architectures that together do well on the other tasks, then climbs from the best of them.

    The portfolio grows by ``argmin_c sum_d min(min_p L[p, d], L[c, d])`` on normalised regret L over all tasks d but
    the one searched. With few tasks it is soon perfect on each; then another is built from what is left, up to
    ``size`` architectures in all. Local search goes on from there.

    Reference:
        Zimmer, Lindauer and Hutter (2021), Auto-PyTorch: multi-fidelity meta-learning for efficient and robust AutoDL,
        IEEE TPAMI 43, arXiv:2006.13799 (portfolio of 16); Feurer et al. (2022), Auto-sklearn 2.0, JMLR 23,
        arXiv:2007.04074.
    """

    seconds_per_trial = 2e-5
    needs_other_tasks = True
    blocks_only = True

    def __init__(
        self,
        space: Space,
        *,
        epochs: Sequence[int],
        seeds: Sequence[int],
        seed: int,
        trials: int,
        others: Mapping[str, np.ndarray],
        size: int = 16,
    ) -> None:
        """Prepares a search; see :class:`Searcher`.

        Args:
            space: as in the base class.
            epochs: likewise.
            seeds: likewise.
            seed: likewise.
            trials: likewise.
            others: task -> seed-mean validation scores, ``(n_architectures,)``, of tasks other than the one searched.
            size: of the portfolio.

        Raises:
            ArgumentError: if no other task has scores.
        """
        known = [scores for _, scores in sorted(others.items()) if np.isfinite(scores).any()]
        if not known:
            raise ArgumentError(f"greedy-portfolio learns from other tasks of space {space.id!r}, and none is known.")
        order = greedy_order(normalised_regret(np.array(known, dtype=float)), size)
        starts = [int(space.canonical_codes[column]) for column in order]
        self._search = LocalSearch(space, epochs=epochs, seeds=seeds, seed=seed, trials=trials, starts=starts)

    def ask(self) -> Trial | None:
        return self._search.ask()

    def tell(self, trial: Trial, result: Result) -> None:
        self._search.tell(trial, result)
