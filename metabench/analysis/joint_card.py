"""What a joint space's sampled trainings say of its hyperparameters: the part of a card that tables have not."""

from __future__ import annotations

from typing import Any

import numpy as np

from metabench.analysis.reliability import kendall_tau
from metabench.seeding import numpy_generator
from metabench.spaces.joint import Hyperparameter, JointSpace
from metabench.surrogate import Measurements
from metabench.surrogate.measurements import mean_of

__all__ = ["joint_extremes", "marginals"]

_BINS = 5
_SHOWN = 5
_MEANS = ("test_score", "nfe_forward", "unconverged", "train_seconds")


def _means(data: Measurements) -> dict[str, np.ndarray]:
    """Seed means at the last epoch of what a hyperparameter is judged by, each ``(n,)``."""
    return {name: mean_of(data.values[:, :, -1, data.metrics.index(name)]) for name in _MEANS}


def _group(means: dict[str, np.ndarray], rows: np.ndarray, draws: int, *path: str | int) -> dict[str, Any]:
    """Means over some configurations, the score's with a bootstrap interval."""
    scores = means["test_score"][rows]
    scores = scores[~np.isnan(scores)]
    found: dict[str, Any] = {"configurations": len(scores)}
    if not len(scores):
        return found
    drawn = scores[numpy_generator("marginals", *path).integers(0, len(scores), (draws, len(scores)))].mean(axis=1)
    low, high = np.quantile(drawn, (0.025, 0.975))
    for name, values in means.items():
        known = values[rows]
        known = known[~np.isnan(known)]
        found[name] = float(known.mean()) if len(known) else None
    return {**found, "low": float(low), "high": float(high)}


def _of_choice(
    h: Hyperparameter, place: np.ndarray, on: np.ndarray, means: dict[str, np.ndarray], draws: int
) -> dict[str, Any]:
    levels = [
        {"level": level, **_group(means, on & (place == i), draws, h.name, i)} for i, level in enumerate(h.levels)
    ]
    return {"name": h.name, "kind": h.kind, "active": int(on.sum()), "levels": levels}


def _of_number(
    h: Hyperparameter, place: np.ndarray, on: np.ndarray, means: dict[str, np.ndarray], draws: int
) -> dict[str, Any]:
    values, position = np.array(h.levels, dtype=np.float64)[place], h.positions[place]
    which = np.minimum((position * _BINS).astype(int), _BINS - 1)
    bins = []
    for i in range(_BINS):
        rows = on & (which == i)
        if rows.any():
            ends = {"low_value": float(values[rows].min()), "high_value": float(values[rows].max())}
            bins.append({**ends, **_group(means, rows, draws, h.name, i)})
    taus = {f"{name}_kendall_tau": kendall_tau(values[on], found[on]) for name, found in means.items()}
    return {"name": h.name, "kind": h.kind, "active": int(on.sum()), **taus, "bins": bins}


def marginals(space: JointSpace, codes: np.ndarray, data: Measurements, *, draws: int = 1000) -> list[dict[str, Any]]:
    """What each hyperparameter goes with, all others drawn at random, among the configurations where it is active.

    Args:
        space: the space.
        codes: of the configurations, ``(n,)``.
        data: what they measured.
        draws: of each bootstrap.

    Returns:
        One entry a hyperparameter: of each level of a choice, or each fifth of a number's range, the mean test score
        with its 95% interval, function evaluations forward, unconverged fraction and training seconds; and of numbers
        Kendall's tau with each of these.
    """
    places = space.places(codes)
    active, means, first = space.active(places), _means(data), 1 + space.stages
    out = []
    for i, h in enumerate(space.hyperparameters):
        of = _of_choice if h.kind == "choice" else _of_number
        out.append(of(h, places[:, first + i], active[:, first + i], means, draws))
    return out


def joint_extremes(space: JointSpace, codes: np.ndarray, data: Measurements) -> dict[str, list[dict[str, Any]]]:
    """The best and the worst on validation, in full, with what they scored on test."""
    validation, test = (
        mean_of(data.values[:, :, -1, data.metrics.index(name)]) for name in ("val_score", "test_score")
    )
    known = np.flatnonzero(~np.isnan(validation))
    order = known[np.argsort(-validation[known], kind="stable")]

    def entries(rows: np.ndarray) -> list[dict[str, Any]]:
        return [
            {
                "architecture": str(space.architecture(int(codes[r]))),
                "code": int(codes[r]),
                "val_score": float(validation[r]),
                "test_score": float(test[r]),
            }
            for r in rows
        ]

    return {"best": entries(order[:_SHOWN]), "worst": entries(order[::-1][:_SHOWN])}
