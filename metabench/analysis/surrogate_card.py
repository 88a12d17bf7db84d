"""How good a surrogate is, on architectures that it has not seen, beside what noise allows."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import asdict
from typing import Any

import numpy as np

from metabench.analysis.baselines import agreement, folds
from metabench.analysis.reliability import reliability
from metabench.seeding import numpy_generator
from metabench.surrogate import Measurements, Prediction, Settings, Surrogate, fit_surrogate
from metabench.surrogate.measurements import mean_of
from metabench.surrogate.surrogate import LEAST_ARCHITECTURES
from metabench.surrogate.targets import to_fitted

__all__ = [
    "block_family",
    "calibration_figures",
    "held_out_figures",
    "one_seed_test",
    "surrogate_card",
    "with_ceilings",
    "without_searchers",
]

LEVELS = (0.5, 0.8, 0.95)
SCORES = ("val_score", "test_score")
_CURVE = (50, 100, 200, 400, 800, 1600)


def block_family(block: str) -> str:
    """``"qp"``, or the lift without its structure: ``mlp.deq-monotone`` and ``gated.deq`` are both ``"deq"``."""
    cell, _, lift = block.partition(".")
    return cell if cell == "qp" or not lift else lift.partition("-")[0]


def _final(data: Measurements, metric: str = "test_score") -> np.ndarray:
    """Test scores at the last epoch, ``(architectures, seeds)``."""
    return data.values[:, :, -1, data.metrics.index(metric)]


def _predict_final(surrogate: Surrogate, data: Measurements, metric: str = "test_score") -> np.ndarray:
    last, numbers = len(surrogate.epochs) - 1, data.hyperparameters
    found = surrogate.predict(data.digits, hyperparameters=numbers, epochs=[last], metrics=(metric,), noise=False)
    return found.mean()[:, 0, 0]


def _ceiling(scores: np.ndarray) -> dict[str, float | None]:
    found = reliability(scores)
    return {"r2_ceiling": found.r2_ceiling, "kendall_tau_ceiling": found.tau_ceiling}


def calibration_figures(prediction: Prediction, values: np.ndarray) -> dict[str, Any]:
    """Coverage of intervals and negative log-likelihood of one metric at one epoch.

    Args:
        prediction: of the architectures, one epoch and one metric: arrays ``(n, 1, 1)``.
        values: measured, ``(n, seeds)``; NaN is missing.

    Returns:
        For ``"replicate"`` (each training against model and noise together) and ``"mean"`` (the mean over its seeds):
        the share inside each interval, and the NLL in nats on the fitted scale.
    """
    from scipy.special import ndtri

    centre, model, noise = (a[:, 0, 0] for a in (prediction.centre, prediction.model_sd, prediction.noise_sd))
    measured = to_fitted(values[..., None], prediction.metrics, prediction.logit)[..., 0]
    count = (~np.isnan(measured)).sum(axis=1)
    mean = mean_of(measured)
    out: dict[str, Any] = {}
    for name, error, variance in (
        ("replicate", measured - centre[:, None], np.broadcast_to((model**2 + noise**2)[:, None], measured.shape)),
        ("mean", mean - centre, model**2 + noise**2 / np.maximum(count, 1)),
    ):
        known = ~np.isnan(error)
        e, v = error[known], np.maximum(variance[known], 1e-18)
        reach = np.abs(e) / np.sqrt(v)
        out[name] = {
            "coverage": {str(level): float((reach <= ndtri(0.5 + level / 2)).mean()) for level in LEVELS},
            "nll": float(0.5 * (np.log(2 * np.pi * v) + e**2 / v).mean()),
        }
    return out


def _held_out(data: Measurements, settings: Settings, k: int) -> Prediction:
    """Predictions of each architecture by a surrogate that has not seen it, all epochs and metrics."""
    fold = folds(len(data.digits), k, settings.seed)
    parts: dict[str, np.ndarray] = {
        name: np.empty((len(fold), len(data.epochs), len(data.metrics))) for name in ("centre", "model_sd", "noise_sd")
    }
    for i in range(k):
        seen, unseen = data.take(fold != i), data.take(fold == i)
        found = fit_surrogate(seen, settings).predict(unseen.digits, hyperparameters=unseen.hyperparameters)
        for name, array in parts.items():
            array[fold == i] = getattr(found, name)
    return Prediction(data.metrics, **parts, logit=found.logit)


def _one(prediction: Prediction, epoch: int, metric: int) -> Prediction:
    place = (slice(None), slice(epoch, epoch + 1), slice(metric, metric + 1))
    arrays = (prediction.centre[place], prediction.model_sd[place], prediction.noise_sd[place])
    return Prediction(prediction.metrics[metric : metric + 1], *arrays, logit=prediction.logit)


def _cross_validation(data: Measurements, settings: Settings, k: int) -> dict[str, Any]:
    prediction = _held_out(data, settings, k)
    predicted, measured = prediction.mean(), data.means()
    last = len(data.epochs) - 1
    metrics, by_epoch = {}, {}
    for i, name in enumerate(data.metrics):
        score = name in SCORES
        metrics[name] = {
            **agreement(predicted[:, last, i], measured[:, last, i], score=score),
            "calibration": calibration_figures(_one(prediction, last, i), data.values[:, :, last, i]),
        }
        if score:
            by_epoch[name] = {
                str(epoch): {
                    **agreement(predicted[:, j, i], measured[:, j, i]),
                    "calibration": calibration_figures(_one(prediction, j, i), data.values[:, :, j, i]),
                }
                for j, epoch in enumerate(data.epochs)
            }
    return {
        "folds": k,
        "last_epoch": metrics,
        "by_epoch": by_epoch,
        "by_blocks": _within_depths(data, predicted[:, last]) if "test_score" in data.metrics else {},
    }


def _depth(data: Measurements) -> np.ndarray:
    skip = data.blocks.index("skip") if "skip" in data.blocks else -1
    return (data.digits != skip).sum(axis=1)


def _within_depths(data: Measurements, predicted: np.ndarray) -> dict[str, Any]:
    """Agreement of test scores among architectures with the same number of blocks."""
    depth, scores = _depth(data), _final(data)
    found = predicted[:, data.metrics.index("test_score")]
    return {
        str(d): agreement(found[depth == d], mean_of(scores[depth == d]))
        for d in np.unique(depth)
        if (depth == d).sum() > 2
    }


def _split(data: Measurements, train: np.ndarray, test: np.ndarray, settings: Settings) -> dict[str, Any] | None:
    """Agreement on ``test`` (a mask) of a surrogate of test scores alone that is fitted to ``train``."""
    if train.sum() < LEAST_ARCHITECTURES or test.sum() < 3:
        return None
    surrogate = fit_surrogate(data.take(train), settings)
    scores = _final(data)[test]
    found = agreement(_predict_final(surrogate, data.take(test)), mean_of(scores))
    return {"train": int(train.sum()), "test": int(test.sum()), **found}


def _without_families(data: Measurements, settings: Settings) -> dict[str, Any]:
    """Each family of blocks unseen: tested on every architecture with one of its blocks."""
    families = list(dict.fromkeys(block_family(block) for block in data.blocks if block != "skip"))
    tests = {family: _of_family(data, family) for family in (families if len(families) > 1 else ())}
    return {family: _split(data, ~test, test, settings) for family, test in tests.items()}


def _of_family(data: Measurements, family: str) -> np.ndarray:
    """Which architectures have one of the family's blocks."""
    of = np.array([block_family(block) == family for block in data.blocks])
    return np.asarray(of[data.digits].any(axis=1))


def _learning_curve(data: Measurements, settings: Settings, k: int) -> list[dict[str, Any]]:
    """Agreement on one fold, by the number of architectures fitted to out of the others."""
    fold = folds(len(data.digits), k, settings.seed)
    pool = np.flatnonzero(fold != 0)
    pool = numpy_generator("learning curve", settings.seed).permutation(pool)
    out = []
    for size in (*(s for s in _CURVE if s < len(pool)), len(pool)):
        train = np.zeros(len(fold), dtype=bool)
        train[pool[:size]] = True
        found = _split(data, train, fold == 0, settings)
        if found is not None:
            out.append(found)
    return out


def one_seed_test(data: Measurements, settings: Settings, k: int = 5) -> dict[str, Any] | None:
    """Whether a surrogate of one seed tells more about the other seeds than that seed's own table does.

    For each seed in turn: the surrogate is fitted to it alone; errors are mean absolute ones against the mean of the
    other seeds. ``seen`` are the architectures that it was fitted to, as in a benchmark's use; ``unseen`` are held out.

    Reference:
        Zela et al. (2022), Surrogate NAS benchmarks (NAS-Bench-301), arXiv:2008.09777.

    Returns:
        None with fewer than two seeds.
    """
    scores = _final(data)
    complete = np.asarray(~np.isnan(scores).any(axis=1))
    if data.hyperparameters is not None:
        return _sampled_one_seed_test(data, scores, complete, settings, k)
    if scores.shape[1] < 2 or complete.sum() < 2 * LEAST_ARCHITECTURES:
        return None
    data, scores = data.take(complete), scores[complete]
    table, seen, unseen = [], [], []
    for seed in range(scores.shape[1]):
        others = np.delete(scores, seed, axis=1).mean(axis=1)
        alone = data.of_seeds([seed])
        table.append(np.abs(scores[:, seed] - others).mean())
        fitted = _predict_final(fit_surrogate(alone, settings), data)
        seen.append(np.abs(fitted - others).mean())
        fold, predicted = folds(len(scores), k, settings.seed), np.empty(len(scores))
        for i in range(k):
            part = fit_surrogate(alone.take(fold != i), settings)
            predicted[fold == i] = _predict_final(part, data.take(fold == i))
        unseen.append(np.abs(predicted - others).mean())
    return _one_seed_figures(table, seen, unseen)


def _sampled_one_seed_test(
    data: Measurements, scores: np.ndarray, complete: np.ndarray, settings: Settings, k: int
) -> dict[str, Any] | None:
    """The same where few architectures are replicated: fitted to seed 0 of all, compared on those with more seeds."""
    if scores.shape[1] < 2 or complete.sum() < LEAST_ARCHITECTURES:
        return None
    others, alone = scores[complete][:, 1:].mean(axis=1), data.of_seeds([0])
    table = np.abs(scores[complete, 0] - others).mean()
    seen = np.abs(_predict_final(fit_surrogate(alone, settings), data.take(complete)) - others).mean()
    fold, predicted = folds(len(scores), k, settings.seed), np.empty(len(scores))
    for i in range(k):
        part = fit_surrogate(alone.take(fold != i), settings)
        predicted[fold == i] = _predict_final(part, data.take(fold == i))
    return _one_seed_figures([table], [seen], [np.abs(predicted[complete] - others).mean()])


def _one_seed_figures(table: list[float], seen: list[float], unseen: list[float]) -> dict[str, Any]:
    errors = {"table": table, "surrogate_seen": seen, "surrogate_unseen": unseen}
    means = {name: float(np.mean(found)) for name, found in errors.items()}
    return {
        "mean_absolute_error": means,
        "by_seed": {name: [float(x) for x in found] for name, found in errors.items()},
        "surrogate_beats_table": means["surrogate_seen"] < means["table"],
        "unseen_surrogate_beats_table": means["surrogate_unseen"] < means["table"],
    }


def without_searchers(
    measured: Measurements, visited: Mapping[str, np.ndarray] | None, settings: Settings
) -> dict[str, Any]:
    """Each searcher's architectures predicted from what the other searchers saw.

    Args:
        measured: one task.
        visited: as for :func:`surrogate_card`.
        settings: of the fits.

    Returns:
        ``{"leave_searcher_out": searcher -> figures, or None of one that left too little to fit}``; empty with fewer
        than two searchers.
    """
    if visited is None or len(visited) < 2:
        return {}
    rows, found = measured.measured(), {}
    data = measured.take(rows).of_metrics(("test_score",))
    for searcher, mask in visited.items():
        others = np.logical_or.reduce([other for name, other in visited.items() if name != searcher])
        found[searcher] = _split(data, (others & ~mask)[rows], mask[rows], settings)
    return {"leave_searcher_out": found}


def held_out_figures(card: Mapping[str, Any]) -> tuple[Mapping[str, Any], Mapping[str, Any]]:
    """An evaluation's figures of final test scores: of all held-out architectures, and of those with most blocks."""
    validated = card["cross_validation"]
    every, by_blocks = validated["last_epoch"]["test_score"], validated["by_blocks"]
    return every, by_blocks[max(by_blocks, key=int)] if by_blocks else every


def with_ceilings(
    card: Mapping[str, Any], measured: Measurements, visited: Mapping[str, np.ndarray] | None = None
) -> dict[str, Any]:
    """An evaluation with what noise allows beside each of its figures; needs no fit.

    Args:
        card: of :func:`surrogate_card`, older or new.
        measured: what it was made of.
        visited: as for :func:`surrogate_card`.
    """
    rows = measured.measured()
    data, out = measured.take(rows), copy.deepcopy(dict(card))
    scores, names = _final(data), data.metrics
    validated = out["cross_validation"]
    for name, found in validated["last_epoch"].items():
        found |= _ceiling(data.values[:, :, -1, names.index(name)])
    for name, epochs in validated["by_epoch"].items():
        for j, epoch in enumerate(data.epochs):
            epochs[str(epoch)] |= _ceiling(data.values[:, :, j, names.index(name)])
    depth = _depth(data)
    for d, found in validated["by_blocks"].items():
        found |= _ceiling(scores[depth == int(d)])
    for family, found in out["leave_family_out"].items():
        if found is not None:
            found |= _ceiling(scores[_of_family(data, family)])
    fold = folds(len(scores), validated["folds"], out["settings"]["seed"])
    for found in out["learning_curve"]:
        found |= _ceiling(scores[fold == 0])
    for searcher, found in out.get("leave_searcher_out", {}).items():
        if found is not None and visited is not None and searcher in visited:
            found |= _ceiling(scores[visited[searcher][rows]])
    return out


def surrogate_card(
    measured: Measurements,
    settings: Settings | None = None,
    *,
    k: int = 5,
    visited: Mapping[str, np.ndarray] | None = None,
) -> dict[str, Any]:
    """The whole evaluation of one kind of surrogate on one task, as plain JSON.

    Args:
        measured: the task's measurements, complete or not.
        settings: of the fits.
        k: folds.
        visited: searcher -> which architectures its runs have trained, bool ``(architectures,)``.

    Raises:
        ArgumentError: if too little is measured.
    """
    settings = Settings() if settings is None else settings
    rows = measured.measured()
    data = measured.take(rows)
    test_only = data.of_metrics(("test_score",))
    card: dict[str, Any] = {
        "settings": asdict(settings),
        "architectures": len(data.digits),
        "cross_validation": _cross_validation(data, settings, k),
    }
    card["leave_family_out"] = _without_families(test_only, settings)
    card["learning_curve"] = _learning_curve(test_only, settings, k)
    card["one_seed"] = one_seed_test(test_only, settings, k)
    card |= without_searchers(measured, visited, settings)
    return with_ceilings(card, measured, visited)
