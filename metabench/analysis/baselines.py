"""Predictors that every surrogate has to beat: parameters only, and additive in the blocks."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from metabench.analysis.reliability import kendall_tau, r_squared, sparse_tau
from metabench.seeding import numpy_generator
from metabench.surrogate.additive import additive_predict, fit_additive
from metabench.surrogate.features import quadratics

__all__ = ["agreement", "baseline_figures", "folds"]


def folds(n: int, k: int, seed: int = 0) -> np.ndarray:
    """The fold of each of ``n`` architectures, balanced, int ``(n,)``."""
    order = numpy_generator("folds", k, seed).permutation(n)
    fold = np.empty(n, dtype=int)
    fold[order] = np.arange(n) % k
    return fold


def agreement(predicted: np.ndarray, measured: np.ndarray, *, score: bool = True) -> dict[str, float | None]:
    """R2 and Kendall's tau; of scores also the sparse tau and the mean absolute error."""
    found = {"r2": r_squared(predicted, measured), "kendall_tau": kendall_tau(predicted, measured)}
    if score:
        known = np.isfinite(predicted) & np.isfinite(measured)
        found["sparse_kendall_tau"] = sparse_tau(predicted, measured)
        found["mean_absolute_error"] = float(np.abs(predicted - measured)[known].mean()) if known.any() else None
    return found


def _cross_validated(n: int, k: int, predict: Callable[[np.ndarray, np.ndarray], np.ndarray], seed: int) -> np.ndarray:
    fold, out = folds(n, k, seed), np.full(n, np.nan)
    for i in range(k):
        out[fold == i] = predict(fold != i, fold == i)
    return out


def baseline_figures(
    digits: np.ndarray,
    blocks: int,
    params: np.ndarray,
    scores: np.ndarray,
    *,
    k: int = 5,
    seed: int = 0,
    hyperparameters: np.ndarray | None = None,
) -> dict[str, dict[str, float | None]]:
    """Cross-validated agreement of the two baselines with mean scores, all inputs of measured architectures.

    Args:
        digits: ``(n, stages)``.
        blocks: blocks that a stage chooses from.
        params: parameters, ``(n,)``; the predictor is the mean score of the same number, else the nearest's.
        scores: ``(n,)``, finite.
        k: folds.
        seed: of the folds.
        hyperparameters: of a joint space, as in :class:`~metabench.surrogate.Measurements`: the additive baseline then
            has a parabola in each.
    """
    n, more = len(scores), quadratics(hyperparameters)
    if n < 2 * k:
        return {}

    def by_parameters(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        values, group = np.unique(params[train], return_inverse=True)
        means = np.bincount(group, scores[train]) / np.bincount(group)
        return np.interp(params[test], values, means)

    def additive(train: np.ndarray, test: np.ndarray) -> np.ndarray:
        seen, unseen = (None, None) if more is None else (more[train], more[test])
        weights = fit_additive(digits[train], blocks, scores[train][:, None], more=seen)
        return additive_predict(digits[test], blocks, weights, unseen)[:, 0]

    return {
        "parameters only": agreement(_cross_validated(n, k, by_parameters, seed), scores),
        "additive in the blocks": agreement(_cross_validated(n, k, additive, seed), scores),
    }
