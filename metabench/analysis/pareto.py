"""Trade-offs of two quantities: the Pareto front of a score (higher is better) against a cost, and its hypervolume."""

from __future__ import annotations

import numpy as np

__all__ = ["hypervolume", "pareto_front"]


def pareto_front(costs: np.ndarray, scores: np.ndarray) -> np.ndarray:
    """Indices of the points that no other beats, by ascending cost.

    A point is beaten by one of lower or equal cost and higher or equal score that differs from it; of equal points the
    first stands for all. Points with NaN are passed over.

    Args:
        costs: (points,).
        scores: (points,).
    """
    known = np.flatnonzero(~(np.isnan(costs) | np.isnan(scores)))
    order = known[np.lexsort((-scores[known], costs[known]))]  # by cost; of equal ones, the highest score first
    if not len(order):
        return order
    before = np.concatenate([[-np.inf], np.maximum.accumulate(scores[order])[:-1]])
    return order[scores[order] > before]


def hypervolume(costs: np.ndarray, scores: np.ndarray, reference: tuple[float, float]) -> float:
    """Exact area of what the points beat and that beats the reference: the sum of the front's steps.

    Args:
        costs: (points,); NaN is passed over.
        scores: (points,).
        reference: worst cost and worst score that count; points beyond it add nothing.

    Reference:
        Zitzler and Thiele (1998), Multiobjective optimization using evolutionary algorithms, PPSN V.
    """
    worst_cost, worst_score = reference
    inside = (costs < worst_cost) & (scores > worst_score)
    costs, scores = costs[inside], scores[inside]
    front = pareto_front(costs, scores)
    widths = np.diff(np.append(costs[front], worst_cost))  # each score holds from its cost to the next one's
    return float(np.sum(widths * (scores[front] - worst_score)))
