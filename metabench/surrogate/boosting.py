"""Boosted trees by LightGBM: one booster a metric and member, with the epoch as a feature."""

from __future__ import annotations

import logging
import re
from typing import TYPE_CHECKING, Any

import numpy as np

from metabench.seeding import derive
from metabench.surrogate.settings import Settings

if TYPE_CHECKING:
    from lightgbm import Booster

__all__ = ["booster_text", "fit_boosters", "parameters", "predict_boosters", "read_booster", "rows_of", "stored"]

_log = logging.getLogger(__name__)
# What a booster needs to predict; the rest of LightGBM's text (gains, counts, weights) is half of its size.
_UNUSED = re.compile(
    r"^(?:split_gain|leaf_weight|leaf_count|internal_value|internal_weight|internal_count)=.*\n", re.MULTILINE
)


def rows_of(features: np.ndarray, epochs: np.ndarray) -> np.ndarray:
    """Rows (architecture, epoch), the epoch faster: features ``(n * len(epochs), 1 + n_features)``."""
    n = len(features)
    log = np.tile(np.log(epochs.astype(np.float32)), n)[:, None]
    return np.concatenate([np.repeat(features, len(epochs), axis=0), log], axis=1)


def parameters(settings: Settings, objective: str, *path: int | str) -> dict[str, Any]:
    """LightGBM's parameters; the same input gives the same bytes on one machine."""
    return {
        "objective": objective,
        "num_leaves": settings.leaves,
        "learning_rate": settings.learning_rate,
        "min_data_in_leaf": settings.min_leaf,
        "feature_fraction": 0.7,
        "lambda_l2": 1.0,
        "max_bin": 63,
        "max_cat_to_onehot": 4,
        "cat_smooth": 2.0,
        "cat_l2": 2.0,
        "min_data_per_group": 5,
        "seed": derive("surrogate", "boosting", settings.seed, *path) % 2**31,
        "deterministic": True,
        "force_row_wise": True,
        "num_threads": 1,
        "verbosity": -1,
    }


def fit_boosters(
    features: np.ndarray,
    epochs: np.ndarray,
    targets: np.ndarray,
    weights: np.ndarray,
    settings: Settings,
    kept_from: np.ndarray,
    categories: list[int],
) -> list[list[Booster]]:
    """Fits the members.

    Args:
        features: ``(n, n_features)``.
        epochs: ``(epochs,)``.
        targets: ``(n, epochs, metrics)``; NaN is left out.
        weights: replicates behind each target, same shape.
        settings: of the fit.
        kept_from: :func:`metabench.surrogate.settings.left_out`.
        categories: columns of ``features`` that hold categories.

    Returns:
        Boosters, ``[member][metric]``.
    """
    from lightgbm import Dataset, train

    n_metrics = targets.shape[-1]
    members = []
    for member in range(settings.members):
        rows = ~kept_from[:, member]
        table = rows_of(features[rows], epochs)
        boosters = []
        for metric in range(n_metrics):
            y, w = targets[rows][..., metric].ravel(), weights[rows][..., metric].ravel()
            known = ~np.isnan(y)
            data = Dataset(table[known], y[known], weight=w[known], categorical_feature=categories)
            boosters.append(stored(train(parameters(settings, "l2", member, metric), data, settings.trees)))
        members.append(boosters)
        _log.info("member %d of %d", member + 1, settings.members)
    return members


def predict_boosters(
    members: list[list[Booster]], features: np.ndarray, epochs: np.ndarray, metrics: list[int]
) -> np.ndarray:
    """Predictions of each member, ``(members, n, len(epochs), len(metrics))``, on one thread."""
    table = rows_of(features, epochs)
    out = np.empty((len(members), len(table), len(metrics)))
    for i, boosters in enumerate(members):
        for j, metric in enumerate(metrics):
            out[i, :, j] = np.asarray(boosters[metric].predict(table, num_threads=1))
    return out.reshape(len(members), len(features), len(epochs), len(metrics))


def booster_text(booster: Booster) -> str:
    """A booster as LightGBM's own text, without what prediction does not need."""
    text = booster.model_to_string()
    text = text.partition("\nfeature_importances:")[0] + "\n"
    text = re.sub(r"^leaf_value=(.*)$", _shorten, _UNUSED.sub("", text), flags=re.MULTILINE)
    return re.sub(r"^tree_sizes=.*\n", "", text, flags=re.MULTILINE)  # only for reading in parallel, and now wrong


def _shorten(line: re.Match[str]) -> str:
    """Leaf values to seven digits: far below what is learned."""
    return "leaf_value=" + " ".join(f"{float(value):.7g}" for value in line[1].split(" "))


def stored(booster: Booster) -> Booster:
    """The booster as it will be read again, so that a surrogate answers the same before and after it is stored."""
    return read_booster(booster_text(booster))


def read_booster(text: str) -> Booster:
    """A booster of :func:`booster_text`.

    Raises:
        ValueError: if LightGBM cannot read it.
    """
    from lightgbm import Booster
    from lightgbm.basic import LightGBMError

    try:
        return Booster(model_str=text)
    except LightGBMError as error:
        raise ValueError(str(error)) from error
