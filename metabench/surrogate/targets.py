"""Metrics on the scale on which they are fitted: transformed, then standardised at each epoch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

__all__ = ["Scale", "fit_scale", "from_fitted", "limits", "to_fitted", "transform_of"]

_LOGARITHMIC = {"train_loss": 1e-6, "residual": 1e-12, "train_seconds": 1e-6}
_SHIFTED = ("nfe_forward", "nfe_backward")
_SCORES = ("val_score", "test_score")
_BOUNDED = (*_SCORES, "unconverged")
_LEAST_SHARE = 1e-3  # 0 and 1 have no log odds


def transform_of(metric: str, logit: bool = False) -> str:
    """``"log"`` (of positive metrics over orders of magnitude), ``"log1p"`` (of counts), ``"logit"`` or ``"identity"``.

    Args:
        metric: its name.
        logit: whether scores are fitted as log odds: then none is predicted beyond 0 or 1.
    """
    if logit and metric in _SCORES:
        return "logit"
    return "log" if metric in _LOGARITHMIC else "log1p" if metric in _SHIFTED else "identity"


def limits(metric: str) -> tuple[float, float]:
    """The least and the greatest value that a metric can have."""
    return (
        (0.0, 1.0) if metric in _BOUNDED else (0.0, np.inf) if transform_of(metric) != "identity" else (-np.inf, np.inf)
    )


def to_fitted(values: np.ndarray, metrics: tuple[str, ...], logit: bool = False) -> np.ndarray:
    """Transforms the last axis; ``logit`` as for :func:`transform_of`."""
    out = np.array(values, dtype=np.float64)
    for i, name in enumerate(metrics):
        kind = transform_of(name, logit)
        if kind == "log":
            out[..., i] = np.log(np.maximum(out[..., i], _LOGARITHMIC[name]))
        elif kind == "log1p":
            out[..., i] = np.log1p(np.maximum(out[..., i], 0.0))
        elif kind == "logit":
            share = np.clip(out[..., i], _LEAST_SHARE, 1.0 - _LEAST_SHARE)
            out[..., i] = np.log(share / (1.0 - share))
    return out


def from_fitted(values: np.ndarray, metrics: tuple[str, ...], logit: bool = False) -> np.ndarray:
    """Undoes :func:`to_fitted`, within each metric's limits."""
    out = np.array(values, dtype=np.float64)
    for i, name in enumerate(metrics):
        kind = transform_of(name, logit)
        if kind == "log":
            # The floor of the logarithm stands for an exact zero, as the residual of a network without a solver is.
            out[..., i] = np.exp(np.minimum(out[..., i], 700.0))
            out[..., i][out[..., i] <= 1.5 * _LOGARITHMIC[name]] = 0.0
        elif kind == "log1p":
            out[..., i] = np.expm1(np.minimum(out[..., i], 700.0))
        elif kind == "logit":
            out[..., i] = 1.0 / (1.0 + np.exp(np.clip(-out[..., i], -700.0, 700.0)))
        out[..., i] = np.clip(out[..., i], *limits(name))
    return out


@dataclass(frozen=True, eq=False)
class Scale:
    """Centre and spread over architectures of each (epoch, metric), on the transformed scale, ``(epochs, metrics)``."""

    centre: np.ndarray
    spread: np.ndarray

    def standardise(self, values: np.ndarray) -> np.ndarray:
        """``(..., epochs, metrics)`` to mean 0 and standard deviation 1."""
        return (values - self.centre) / self.spread

    def restore(self, values: np.ndarray) -> np.ndarray:
        """Undoes :meth:`standardise`."""
        return values * self.spread + self.centre


def fit_scale(values: np.ndarray) -> Scale:
    """The scale of transformed seed means ``(architectures, epochs, metrics)``; a constant metric gets spread 1."""
    known = ~np.isnan(values)
    count = np.maximum(known.sum(axis=0), 1)
    centre = np.where(known, values, 0.0).sum(axis=0) / count
    spread = np.sqrt((np.where(known, values - centre, 0.0) ** 2).sum(axis=0) / count)
    return Scale(centre, np.where(spread > 1e-9, spread, 1.0))
