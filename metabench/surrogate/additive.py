"""The additive model: each stage's block adds its own amount. The surrogates' first guess, and the card's baseline.

Of a joint space, each hyperparameter adds a parabola.
"""

from __future__ import annotations

import numpy as np

from metabench.surrogate.features import one_hot

__all__ = ["additive_predict", "fit_additive"]


def fit_additive(
    digits: np.ndarray, blocks: int, targets: np.ndarray, penalty: float = 1.0, more: np.ndarray | None = None
) -> np.ndarray:
    """Ridge regression on one-hot blocks.

    Args:
        digits: ``(n, stages)``.
        blocks: blocks that a stage chooses from.
        targets: ``(n, outputs)``; NaN is left out.
        penalty: on the squares of all amounts but the intercept; a block that is never seen gets 0.
        more: further columns, as :func:`metabench.surrogate.features.quadratics` gives them, ``(n, columns)``.

    Returns:
        Intercept and amounts, ``(1 + stages * blocks + columns, outputs)``.
    """
    parts = [np.ones((len(digits), 1)), one_hot(digits, blocks), *([] if more is None else [more])]
    design = np.concatenate(parts, axis=1).astype(np.float64)
    ridge = penalty * np.eye(design.shape[1])
    ridge[0, 0] = 1e-9  # the intercept is free
    known = ~np.isnan(targets)
    weights = np.empty((design.shape[1], targets.shape[1]))
    patterns, which = np.unique(known, axis=1, return_inverse=True)  # outputs measured on the same rows share a solve
    which = which.ravel()
    for i in range(patterns.shape[1]):
        rows, columns = design[patterns[:, i]], which == i
        weights[:, columns] = np.linalg.solve(rows.T @ rows + ridge, rows.T @ targets[patterns[:, i]][:, columns])
    return weights


def additive_predict(
    digits: np.ndarray, blocks: int, weights: np.ndarray, more: np.ndarray | None = None
) -> np.ndarray:
    """``(n, outputs)`` of :func:`fit_additive`'s weights."""
    out = np.broadcast_to(weights[0], (len(digits), weights.shape[1])).copy()
    for stage in range(digits.shape[1]):
        out += weights[1 + stage * blocks + digits[:, stage]]
    return out if more is None else out + more @ weights[1 + digits.shape[1] * blocks :]
