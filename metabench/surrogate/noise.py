"""Replicate noise: how far one training strays from its architecture's mean, apart from what a model does not know."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

import numpy as np

from metabench.seeding import numpy_generator
from metabench.surrogate.boosting import parameters, rows_of, stored
from metabench.surrogate.settings import Settings

if TYPE_CHECKING:
    from lightgbm import Booster

__all__ = ["Noise", "draw", "fit_noise", "predict_noise"]

_FLOOR = (
    1e-6  # of a variance, in units of the spread over architectures: metrics without noise have to have a logarithm
)
_TREES, _LEAVES = 40, 8


@dataclass(frozen=True, eq=False)
class Noise:
    """A variance for each architecture, epoch and metric, and one correlation for all.

    Attributes:
        boosters: one a metric, which predict the variance; empty if no architecture has two replicates.
        factor: lower triangular, ``(epochs * metrics, epochs * metrics)``: a replicate's luck lasts over epochs and
            shows in all metrics.
    """

    boosters: list[Booster]
    factor: np.ndarray


def fit_noise(
    features: np.ndarray, epochs: np.ndarray, values: np.ndarray, settings: Settings, categories: list[int]
) -> Noise:
    """Fits variances by gamma regression: a sample variance is the true one times a chi-squared variable.

    Args:
        features: ``(n, n_features)``.
        epochs: ``(epochs,)``.
        values: standardised, ``(n, seeds, epochs, metrics)``; NaN is left out.
        settings: of the fit; its seed is used.
        categories: columns of ``features`` that hold categories.
    """
    from lightgbm import Dataset, train

    known = ~np.isnan(values)
    count = known.sum(axis=1)
    n_epochs, n_metrics = values.shape[2:]
    outputs = n_epochs * n_metrics
    if not (count > 1).any(axis=(0, 1)).all():
        return Noise([], np.eye(outputs))
    mean = np.where(known, values, 0.0).sum(axis=1) / np.maximum(count, 1)
    strays = np.where(known, values - mean[:, None], 0.0)
    freedom = np.maximum(count - 1, 1)
    variance = (strays**2).sum(axis=1) / freedom + _FLOOR
    table = rows_of(features, epochs)
    boosters = []
    small = replace(settings, leaves=_LEAVES, learning_rate=0.1, min_leaf=5 * settings.min_leaf)
    for metric in range(n_metrics):
        rows = (count[..., metric] > 1).ravel()
        y, w = variance[..., metric].ravel()[rows], freedom[..., metric].ravel()[rows]
        data = Dataset(table[rows], y, weight=w, categorical_feature=categories)
        chosen = parameters(small, "gamma", "noise", metric)
        boosters.append(stored(train(chosen, data, _TREES)))
    noise = Noise(boosters, np.eye(outputs))
    sd = predict_noise(noise, features, epochs, list(range(n_metrics)))
    scaled = strays / sd[:, None] * np.sqrt(count / freedom)[:, None]
    rows = scaled[(known & (count > 1)[:, None]).all(axis=(2, 3))].reshape(-1, outputs)
    product = rows.T @ rows / max(len(rows), 1)
    size = np.sqrt(np.maximum(np.diag(product), 1e-12))
    correlation = product / np.outer(size, size)
    correlation = 0.999 * correlation + 0.001 * np.eye(outputs)  # constant metrics leave it singular
    np.fill_diagonal(correlation, 1.0)
    return Noise(boosters, _rounded(np.linalg.cholesky(correlation)))


def _rounded(array: np.ndarray) -> np.ndarray:
    return array.astype(np.float32).astype(np.float64)  # as it is stored


def predict_noise(noise: Noise, features: np.ndarray, epochs: np.ndarray, metrics: list[int]) -> np.ndarray:
    """Standard deviations over replicates, standardised, ``(n, epochs, metrics)``; 0 if there were no replicates."""
    shape = (len(features), len(epochs), len(metrics))
    if not noise.boosters:
        return np.zeros(shape)
    table = rows_of(features, epochs)
    columns = [np.asarray(noise.boosters[metric].predict(table, num_threads=1)) for metric in metrics]
    variance = np.stack(columns, axis=-1).reshape(shape)
    return np.sqrt(np.maximum(variance - _FLOOR, 0.1 * _FLOOR))


def draw(noise: Noise, name: str, codes: np.ndarray, seed: int, epochs: int) -> np.ndarray:
    """Standard normal draws, correlated over epochs and metrics, ``(len(codes), epochs, metrics)``.

    A draw depends on the surrogate's name, the configuration and the seed only: not on what else is asked, or when.
    """
    size = len(noise.factor)
    raw = np.stack([numpy_generator("replicate noise", name, int(c), int(seed)).standard_normal(size) for c in codes])
    return (raw @ noise.factor.T).reshape(len(codes), epochs, -1)
