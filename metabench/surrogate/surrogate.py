"""A fitted surrogate: additive first guess, ensemble on what it leaves, replicate noise, and calibrated uncertainty."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from metabench.errors import ArgumentError
from metabench.surrogate.additive import additive_predict, fit_additive
from metabench.surrogate.boosting import fit_boosters, predict_boosters
from metabench.surrogate.calibration import fit_calibration
from metabench.surrogate.costs import Costs, fit_costs, predict_costs
from metabench.surrogate.features import encode, encode_categories, quadratics
from metabench.surrogate.measurements import Measurements, mean_of
from metabench.surrogate.neural import Layers, fit_networks, predict_networks
from metabench.surrogate.noise import Noise, draw, fit_noise, predict_noise
from metabench.surrogate.settings import Settings, left_out
from metabench.surrogate.targets import Scale, fit_scale, from_fitted, to_fitted

if TYPE_CHECKING:
    from lightgbm import Booster

__all__ = ["LEAST_ARCHITECTURES", "Prediction", "Surrogate", "fit_surrogate"]

LEAST_ARCHITECTURES = 20
_CHUNK = 2048  # architectures at a time: a million rows of features would be 300 MB


@dataclass(frozen=True, eq=False)
class Prediction:
    """What a surrogate says, on the scale of :func:`metabench.surrogate.targets.to_fitted`; ``(n, epochs, metrics)``.

    Attributes:
        metrics: names of the last axis.
        centre: the expected mean over replicates.
        model_sd: what the model does not know of that mean (standard deviation, calibrated).
        noise_sd: how far one replicate strays from it.
        logit: whether scores are fitted as log odds.
    """

    metrics: tuple[str, ...]
    centre: np.ndarray
    model_sd: np.ndarray
    noise_sd: np.ndarray
    logit: bool = False

    def mean(self) -> np.ndarray:
        """The prediction in the metrics' own units."""
        return from_fitted(self.centre, self.metrics, self.logit)

    def interval(self, level: float, replicates: int | None = None) -> tuple[np.ndarray, np.ndarray]:
        """Bounds of the central interval that holds ``level`` of the probability, in the metrics' own units.

        Args:
            level: in (0, 1).
            replicates: of the mean over so many replicates; None is the mean over infinitely many.
        """
        from scipy.special import ndtri

        variance = self.model_sd**2 + (0.0 if replicates is None else self.noise_sd**2 / replicates)
        reach = float(ndtri(0.5 + level / 2)) * np.sqrt(variance)
        bounds = (self.centre - reach, self.centre + reach)
        low, high = (from_fitted(bound, self.metrics, self.logit) for bound in bounds)
        return low, high


@dataclass(frozen=True, eq=False)
class Surrogate:
    """Made by :func:`fit_surrogate` or :func:`metabench.surrogate.store.load_surrogate`.

    Attributes:
        name: what noise is keyed on, ``"space/task"``.
        blocks, stages, epochs, metrics, cost_names: axes, as in :class:`Measurements`.
        settings: of the fit.
        architectures: how many it was fitted to.
        scale: centre and spread of each epoch and metric.
        additive: weights of the first guess, ``(1 + stages * blocks, epochs * metrics)``; with hyperparameters two more
            of each.
        costs: model of the costs.
        calibration: slope and offset of the model's variance, ``(metrics, 2)``.
        noise: of replicates.
        boosters: ``[member][metric]``, or empty.
        networks: ``[member]``, or empty.
        hyperparameters: names of a joint space's, else empty.
    """

    name: str
    blocks: tuple[str, ...]
    stages: int
    epochs: tuple[int, ...]
    metrics: tuple[str, ...]
    cost_names: tuple[str, ...]
    settings: Settings
    architectures: int
    scale: Scale
    additive: np.ndarray
    costs: Costs
    calibration: np.ndarray
    noise: Noise
    boosters: list[list[Booster]]
    networks: list[Layers]
    hyperparameters: tuple[str, ...] = ()

    @property
    def logit(self) -> bool:
        """Whether scores are fitted as log odds."""
        return _fits_log_odds(self.hyperparameters)

    def _members(
        self,
        digits: np.ndarray,
        numbers: np.ndarray | None,
        features: np.ndarray,
        epochs: list[int],
        metrics: list[int],
    ) -> np.ndarray:
        """Standardised predictions of each member, ``(members, n, epochs, metrics)``."""
        shape = (len(digits), len(self.epochs), len(self.metrics))
        columns = np.add.outer(np.array(epochs) * len(self.metrics), metrics).ravel()
        first = additive_predict(digits, len(self.blocks), self.additive[:, columns], quadratics(numbers))
        first = first.reshape(len(digits), len(epochs), len(metrics))
        if self.networks:
            rest = predict_networks(self.networks, encode(digits, self.blocks, numbers))
            rest = rest.reshape(-1, *shape)[:, :, epochs][..., metrics]
        else:
            rest = predict_boosters(self.boosters, features, np.array(self.epochs)[epochs], metrics)
        return first + rest

    def predict(
        self,
        digits: np.ndarray,
        *,
        hyperparameters: np.ndarray | None = None,
        epochs: list[int] | None = None,
        metrics: tuple[str, ...] | None = None,
        noise: bool = True,
    ) -> Prediction:
        """Predicts.

        Args:
            digits: blocks as indices, skips last, ``(n, stages)``.
            hyperparameters: of a joint space, as in :class:`Measurements`.
            epochs: places in :attr:`epochs`; all by default.
            metrics: names; all by default.
            noise: whether replicate noise is wanted too (else its standard deviation is 0); it costs a booster more.

        Raises:
            ArgumentError: if the digits are not architectures of this space, or a metric is unknown.
        """
        digits = np.asarray(digits)
        if digits.ndim != 2 or digits.shape[1] != self.stages or (digits.size and digits.max() >= len(self.blocks)):
            raise ArgumentError(f"digits {digits.shape}: expected (n, {self.stages}) of 0 to {len(self.blocks) - 1}.")
        numbers, wanted = hyperparameters, (len(digits), len(self.hyperparameters))
        if (numbers is None) != (not self.hyperparameters) or (numbers is not None and numbers.shape != wanted):
            raise ArgumentError(
                f"hyperparameters {None if numbers is None else numbers.shape}: expected "
                f"{wanted if self.hyperparameters else None}."
            )
        names = self.metrics if metrics is None else metrics
        unknown = [name for name in names if name not in self.metrics]
        if unknown:
            raise ArgumentError(f"unknown metric {unknown[0]!r}; the surrogate has {', '.join(self.metrics)}.")
        columns = [self.metrics.index(name) for name in names]
        places = list(range(len(self.epochs))) if epochs is None else epochs
        parts = []
        for start in range(0, len(digits), _CHUNK):
            part = slice(start, start + _CHUNK)
            some = None if numbers is None else numbers[part]
            parts.append(self._predict_some(digits[part], some, places, columns, noise))
        empty = np.empty((0, len(places), len(columns)))
        centre, model_sd, noise_sd = (np.concatenate([part[i] for part in parts] or [empty]) for i in range(3))
        return Prediction(names, centre, model_sd, noise_sd, self.logit)

    def _predict_some(
        self, digits: np.ndarray, numbers: np.ndarray | None, epochs: list[int], metrics: list[int], noise: bool
    ) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        features = encode_categories(digits, self.blocks, numbers)
        members = self._members(digits, numbers, features, epochs, metrics)
        unit = self.scale.spread[epochs][:, metrics]
        centre = members.mean(axis=0) * unit + self.scale.centre[epochs][:, metrics]
        slope, offset = self.calibration[metrics].T
        model_sd = np.sqrt(slope * members.var(axis=0, ddof=1) + offset) * unit
        if not noise:
            return centre, model_sd, np.zeros_like(centre)
        noise_sd = predict_noise(self.noise, features, np.array(self.epochs)[epochs], metrics) * unit
        return centre, model_sd, noise_sd

    def replicate(self, prediction: Prediction, codes: np.ndarray, seed: int) -> np.ndarray:
        """One noisy training of each architecture, in the metrics' own units, ``(n, epochs, metrics)``.

        Args:
            prediction: of all epochs and metrics.
            codes: canonical codes of its architectures, which the noise is keyed on with ``seed``.
            seed: the replicate.
        """
        luck = draw(self.noise, self.name, codes, seed, len(self.epochs))
        return from_fitted(prediction.centre + prediction.noise_sd * luck, self.metrics, self.logit)

    def predict_costs(
        self, digits: np.ndarray, *, hyperparameters: np.ndarray | None = None, widths: np.ndarray | None = None
    ) -> np.ndarray:
        """Parameters, FLOPs and so on, ``(n, costs)``; NaN where none was measured, or a block never at its stage."""
        return predict_costs(self.costs, digits, self.blocks, hyperparameters, widths)


def _fits_log_odds(hyperparameters: tuple[str, ...]) -> bool:
    """Whether scores are fitted as log odds: where hyperparameters move them from chance to nearly 1.

    Fitted as they are, sums of effects pass 1 there, and a search would be led to what is only clipped to it.
    """
    return bool(hyperparameters)


def fit_surrogate(measured: Measurements, settings: Settings | None = None, *, name: str = "surrogate") -> Surrogate:
    """Fits a surrogate to what is measured; architectures without any value are passed over.

    Args:
        measured: one task of a table.
        settings: of the fit.
        name: what noise is keyed on, ``"space/task"``.

    Raises:
        ArgumentError: if too little is measured.
    """
    settings = Settings() if settings is None else settings
    data = measured.take(measured.measured())
    if len(data.digits) < LEAST_ARCHITECTURES:
        raise ArgumentError(
            f"{name}: {len(data.digits)} architectures are measured; a surrogate needs at least {LEAST_ARCHITECTURES}."
        )
    empty = [metric for i, metric in enumerate(data.metrics) if np.isnan(data.values[..., i]).all()]
    if empty:
        raise ArgumentError(f"{name}: metric {empty[0]!r} has no finite value; nothing can be fitted to it.")
    n, epochs = len(data.digits), np.array(data.epochs)
    values = to_fitted(data.values, data.metrics, _fits_log_odds(data.hyperparameter_names))
    scale = fit_scale(mean_of(values))
    values = scale.standardise(values)
    means, counts = mean_of(values), data.counts()
    flat = means.reshape(n, -1)
    features = encode_categories(data.digits, data.blocks, data.hyperparameters)
    categories, more = list(range(data.stages + 1)), quadratics(data.hyperparameters)
    additive = fit_additive(data.digits, len(data.blocks), flat, more=more)
    additive = additive.astype(np.float32).astype(np.float64)  # as stored
    rest = means - additive_predict(data.digits, len(data.blocks), additive, more).reshape(means.shape)
    mask = left_out(settings, n)
    boosters: list[list[Booster]] = []
    networks: list[Layers] = []
    if settings.model == "neural":
        onehot = encode(data.digits, data.blocks, data.hyperparameters)
        networks = fit_networks(onehot, rest.reshape(n, -1), counts.reshape(n, -1), settings, mask)
        members = predict_networks(networks, onehot).reshape(-1, *means.shape)
    else:
        boosters = fit_boosters(features, epochs, rest, counts, settings, mask, categories)
        members = predict_boosters(boosters, features, epochs, list(range(len(data.metrics))))
    noise = fit_noise(features, epochs, values, settings, categories)
    strays = predict_noise(noise, features, epochs, list(range(len(data.metrics))))
    pair = np.take_along_axis(members, np.argsort(~mask, axis=1, kind="stable")[:, :2].T[..., None, None], axis=0)
    errors, spread = rest - pair.mean(axis=0), pair.std(axis=0, ddof=1)
    own = strays / np.sqrt(np.maximum(counts, 1))
    calibration = [
        fit_calibration(errors[..., i].ravel(), spread[..., i].ravel(), own[..., i].ravel())
        for i in range(len(data.metrics))
    ]
    return Surrogate(
        name=name,
        blocks=data.blocks,
        stages=data.stages,
        epochs=data.epochs,
        metrics=data.metrics,
        cost_names=data.cost_names,
        settings=settings,
        architectures=n,
        scale=scale,
        additive=additive,
        costs=fit_costs(data, settings),
        calibration=np.array(calibration),
        noise=noise,
        boosters=boosters,
        networks=networks,
        hyperparameters=data.hyperparameter_names,
    )
