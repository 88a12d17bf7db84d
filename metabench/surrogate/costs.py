"""What an architecture costs: counted where that can be learned exactly, else predicted."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

import numpy as np

from metabench.surrogate.additive import additive_predict, fit_additive
from metabench.surrogate.boosting import parameters, stored
from metabench.surrogate.features import encode_categories, one_hot
from metabench.surrogate.measurements import Measurements
from metabench.surrogate.settings import Settings

if TYPE_CHECKING:
    from lightgbm import Booster

__all__ = ["Costs", "fit_costs", "predict_costs"]

_EXACT = 1e-6  # the largest relative error of what is called counted
_MIN_LEAF = 5


@dataclass(frozen=True, eq=False)
class Costs:
    """Weights of a linear model, and boosters of logarithms for what is not linear.

    Attributes:
        weights: without widths the amount of each block at each stage, ``(1 + stages * blocks, costs)``; with widths
            :func:`_polynomial`'s, ``(2 + 2 * blocks, costs)``. NaN where nothing is known.
        boosters: cost's index -> booster, where the polynomial of the width is not exact.
    """

    weights: np.ndarray
    boosters: dict[int, Booster] = field(default_factory=dict)


def _polynomial(digits: np.ndarray, blocks: tuple[str, ...], widths: np.ndarray) -> np.ndarray:
    """1, w, and of each block how often it occurs times w and times w^2: parameters are linear in these."""
    counts = one_hot(digits, len(blocks)).reshape(len(digits), -1, len(blocks)).sum(axis=1).astype(np.float64)
    if "skip" in blocks:
        counts[:, blocks.index("skip")] = 0.0
    w = widths.astype(np.float64)[:, None]
    return np.concatenate([np.ones_like(w), w, counts * w, counts * w**2], axis=1)


def fit_costs(data: Measurements, settings: Settings) -> Costs:
    """Fits the costs of what is measured."""
    if data.widths is None:
        weights = fit_additive(data.digits, len(data.blocks), data.costs, penalty=1e-6)
        weights[:, np.isnan(data.costs).all(axis=0)] = np.nan
        unseen = one_hot(data.digits, len(data.blocks)).sum(axis=0) == 0
        weights[1:][unseen] = np.nan  # costs are counted, not guessed: a block never seen at a stage has none
        return Costs(weights)
    from lightgbm import Dataset, train

    design = _polynomial(data.digits, data.blocks, data.widths)
    features = encode_categories(data.digits, data.blocks, data.hyperparameters)
    weights, boosters = np.full((design.shape[1], len(data.cost_names)), np.nan), {}
    for i in range(len(data.cost_names)):
        known = ~np.isnan(data.costs[:, i])
        if not known.any():
            continue
        rows, y = design[known], data.costs[known, i]
        solved, *_ = np.linalg.lstsq(rows, y, rcond=None)
        if np.abs(rows @ solved - y).max() <= _EXACT * np.abs(y).max() and known.sum() > design.shape[1]:
            weights[:, i] = solved
            continue
        chosen = parameters(settings, "l2", "cost", i) | {"min_data_in_leaf": _MIN_LEAF}
        table = Dataset(features[known], np.log(np.maximum(y, 1e-12)), categorical_feature=list(range(data.stages + 1)))
        boosters[i] = stored(train(chosen, table, settings.trees))
    return Costs(weights, boosters)


def predict_costs(
    costs: Costs,
    digits: np.ndarray,
    blocks: tuple[str, ...],
    hyperparameters: np.ndarray | None = None,
    widths: np.ndarray | None = None,
) -> np.ndarray:
    """``(n, costs)``; NaN where nothing is known."""
    if widths is None:
        return additive_predict(digits, len(blocks), costs.weights)
    out = _polynomial(digits, blocks, widths) @ costs.weights
    features = encode_categories(digits, blocks, hyperparameters) if costs.boosters else None
    for i, booster in costs.boosters.items():
        out[:, i] = np.exp(np.asarray(booster.predict(features, num_threads=1)))
    return out
