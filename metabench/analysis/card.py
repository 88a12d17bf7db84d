"""A table's card: what its numbers are worth, and what they say about how a cell is solved."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from metabench.analysis.baselines import baseline_figures
from metabench.analysis.effects import KINDS, kind_of, lift_effects
from metabench.analysis.reliability import kendall_tau, reliability, seed_tau
from metabench.analysis.shared_noise import shared_noise
from metabench.seeding import numpy_generator
from metabench.surrogate import Measurements
from metabench.surrogate.measurements import mean_of
from metabench.tables.benchmark import UNCONVERGED_LIMIT

__all__ = ["table_card", "task_card"]

_SHOWN = 5


def _depth(data: Measurements) -> np.ndarray:
    """Blocks of each architecture, skips left out, ``(architectures,)``."""
    skip = data.blocks.index("skip") if "skip" in data.blocks else -1
    return (data.digits != skip).sum(axis=1)


def _name(data: Measurements, row: int) -> str:
    return ",".join(data.blocks[d] for d in data.digits[row] if data.blocks[d] != "skip") or "skip"


def _metric(data: Measurements, name: str) -> np.ndarray:
    return data.values[..., data.metrics.index(name)]


def _extremes(data: Measurements, scores: np.ndarray) -> dict[str, list[dict[str, Any]]]:
    """The best and the worst on validation, with what they scored on test."""
    validation, test = mean_of(_metric(data, "val_score"))[:, -1], mean_of(scores)
    known = np.flatnonzero(~np.isnan(validation))
    order = known[np.argsort(-validation[known], kind="stable")]

    def entries(rows: np.ndarray) -> list[dict[str, Any]]:
        return [
            {"architecture": _name(data, r), "val_score": float(validation[r]), "test_score": float(test[r])}
            for r in rows
        ]

    return {"best": entries(order[:_SHOWN]), "worst": entries(order[::-1][:_SHOWN])}


def _selection_regret(validation: np.ndarray, test: np.ndarray) -> float | None:
    """Test score that is lost by choosing on one seed's validation score, in the mean over seeds."""
    mean = mean_of(test)
    losses = []
    for seed in range(validation.shape[1]):
        known = ~np.isnan(validation[:, seed]) & ~np.isnan(mean)
        if known.any():
            losses.append(mean[known].max() - mean[known][np.argmax(validation[known, seed])])
    return float(np.mean(losses)) if losses else None


def _quantiles(values: np.ndarray) -> dict[str, float]:
    known = values[~np.isnan(values)]
    names = ("min", "q25", "median", "q75", "max")
    return dict(zip(names, map(float, np.quantile(known, (0, 0.25, 0.5, 0.75, 1))), strict=True)) if len(known) else {}


def _shared_noise(digits: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    complete = ~np.isnan(scores).any(axis=1)
    return shared_noise(digits[complete], scores[complete])


def _by_depth(data: Measurements, scores: np.ndarray) -> list[dict[str, Any]]:
    depth, found = _depth(data), []
    means, params = mean_of(scores), data.costs[:, data.cost_names.index("params")]
    for d in np.unique(depth):
        rows = scores[depth == d]
        if not np.isnan(rows).all():
            here = (depth == d) & ~np.isnan(means) & ~np.isnan(params)
            found.append(
                {
                    "blocks": int(d),
                    **_quantiles(mean_of(rows)),
                    "reliability": asdict(reliability(rows)),
                    "noise_correlation_by_shared_blocks": _shared_noise(data.digits[depth == d], rows),
                    "seed_kendall_tau": seed_tau(rows),
                    "baselines": _baselines(data, here, params, means),
                }
            )
    return found


def _by_kind(data: Measurements, scores: np.ndarray, draws: int = 1000) -> list[dict[str, Any]]:
    """Scores of architectures all of whose blocks are of one kind, within a depth, gated cells apart."""
    depth, found = _depth(data), []
    means = mean_of(scores)
    kinds = np.array([kind_of(block) for block in data.blocks])
    gated = np.array([block.startswith("gated.") for block in data.blocks])
    real = np.array([block != "skip" for block in data.blocks])[data.digits]
    for d in np.unique(depth[depth > 0]):
        for kind in KINDS:
            for with_gate in (False, True):
                chosen = (kinds == kind) & (gated == with_gate)
                rows = (depth == d) & (chosen[data.digits] | ~real).all(axis=1) & ~np.isnan(means)
                if rows.any():
                    values = means[rows]
                    generator = numpy_generator("kinds", kind, int(with_gate), int(d))
                    drawn = values[generator.integers(0, len(values), (draws, len(values)))].mean(axis=1)
                    low, high = np.quantile(drawn, (0.025, 0.975))
                    found.append(
                        {
                            "blocks": int(d),
                            "kind": kind,
                            "cell": "gated" if with_gate else "others",
                            "architectures": int(rows.sum()),
                            "mean": float(values.mean()),
                            "low": float(low),
                            "high": float(high),
                        }
                    )
    return found


def _baselines(
    data: Measurements, rows: np.ndarray, params: np.ndarray, means: np.ndarray, seed: int = 0
) -> dict[str, dict[str, float | None]]:
    part = data.take(rows)
    return baseline_figures(
        part.digits, len(data.blocks), params[rows], means[rows], seed=seed, hyperparameters=part.hyperparameters
    )


def _effects(data: Measurements, scores: np.ndarray, params: np.ndarray, draws: int, seed: int) -> list[dict[str, Any]]:
    if data.hyperparameters is not None:
        return []  # no two sampled configurations differ in a block alone
    return [asdict(e) for e in lift_effects(data.digits, data.blocks, scores, params, draws=draws, seed=seed)]


def task_card(data: Measurements, *, draws: int = 1000, seed: int = 0) -> dict[str, Any]:
    """Everything about one task; test scores at the last epoch unless it says otherwise.

    Args:
        data: the task's measurements, complete or not.
        draws: of each bootstrap.
        seed: of bootstraps and folds.
    """
    test, validation = _metric(data, "test_score"), _metric(data, "val_score")
    last, means = test[:, :, -1], mean_of(test[:, :, -1])
    measured = ~np.isnan(means)
    card: dict[str, Any] = {
        "architectures": len(means),
        "measured": int(measured.sum()),
        "share": float(measured.mean()),
        "seeds": int(last.shape[1]),
        "share_of_trainings": float((~np.isnan(last)).mean()),
    }
    if measured.sum() < 3:
        return card
    # A diverged training has a score and an infinite, here missing, loss.
    trained = ~np.isnan(last)
    diverged = trained & np.isnan(_metric(data, "train_loss")[:, :, -1])
    unconverged = trained & (_metric(data, "unconverged")[:, :, -1] > UNCONVERGED_LIMIT)
    params = data.costs[:, data.cost_names.index("params")]
    known = measured & ~np.isnan(params)
    card |= {
        "test_score": _quantiles(means),
        "reliability": asdict(reliability(last)),
        "seed_kendall_tau": seed_tau(last),
        "validation_to_test_kendall_tau": kendall_tau(mean_of(validation)[:, -1], means),
        "selection_regret_of_one_seed": _selection_regret(validation[:, :, -1], last),
        "epoch_to_final_kendall_tau": {
            str(epoch): kendall_tau(mean_of(test[:, :, i]), means) for i, epoch in enumerate(data.epochs)
        },
        "diverged": float(diverged.sum() / trained.sum()),
        "unconverged": float(unconverged.sum() / trained.sum()),
        "baselines": _baselines(data, known, params, means, seed),
        "by_blocks": _by_depth(data, last),
        "by_kind": _by_kind(data, last, draws),
        "effects": _effects(data, last, params, draws, seed),
        **_extremes(data, last),
    }
    return card


def _between_tasks(measured: Mapping[str, Measurements]) -> dict[str, dict[str, float | None]]:
    """Of the architectures that both tasks have: sampled ones may not be the same while a build is going on."""
    means = {task: _by_name(data) for task, data in measured.items()}
    return {a: {b: _common_tau(means[a], means[b]) for b in means if b != a} for a in means}


def _by_name(data: Measurements) -> dict[bytes, float]:
    """Mean test score at the last epoch by architecture, hyperparameters included."""
    parts = [data.digits.astype(float), *([] if data.hyperparameters is None else [data.hyperparameters])]
    names = [row.tobytes() for row in np.concatenate(parts, axis=1)]
    return dict(zip(names, mean_of(_metric(data, "test_score"))[:, -1].tolist(), strict=True))


def _common_tau(first: Mapping[bytes, float], second: Mapping[bytes, float]) -> float | None:
    both = [name for name in first if name in second]
    return kendall_tau(np.array([first[name] for name in both]), np.array([second[name] for name in both]))


def table_card(space_id: str, measured: Mapping[str, Measurements], *, draws: int = 1000) -> dict[str, Any]:
    """The card of a table: one entry a task, and Kendall's tau between tasks, as plain JSON."""
    tasks = {task: task_card(data, draws=draws) for task, data in measured.items()}
    return {"space": space_id, "tasks": tasks, "between_task_kendall_tau": _between_tasks(measured)}
