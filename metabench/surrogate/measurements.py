"""What a surrogate is fitted to: architectures as digits, and what they measured."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from metabench.errors import ArgumentError

__all__ = ["Measurements"]


@dataclass(frozen=True, eq=False)
class Measurements:
    """One task of a table, complete or not.

    Attributes:
        blocks: the space's block names.
        digits: the block of each stage as an index into ``blocks``, skips last, int ``(architectures, stages)``.
        epochs: checkpoint epochs.
        metrics: names of the last axis of ``values``.
        values: float64 ``(architectures, seeds, epochs, metrics)``; NaN where nothing was measured.
        cost_names: names of the last axis of ``costs``.
        costs: float64 ``(architectures, costs)``; NaN where nothing was measured.
        hyperparameter_names: of a joint space, beside the blocks: the columns of ``hyperparameters``.
        hyperparameters: float64 ``(architectures, len(hyperparameter_names))`` in [0, 1]; NaN where one is inactive.
        widths: of a joint space, ``(architectures,)``: costs depend on them as polynomials.
    """

    blocks: tuple[str, ...]
    digits: np.ndarray
    epochs: tuple[int, ...]
    metrics: tuple[str, ...]
    values: np.ndarray
    cost_names: tuple[str, ...]
    costs: np.ndarray
    hyperparameter_names: tuple[str, ...] = ()
    hyperparameters: np.ndarray | None = None
    widths: np.ndarray | None = None

    def __post_init__(self) -> None:
        n = len(self.digits)
        values, costs = np.asarray(self.values, dtype=np.float64), np.asarray(self.costs, dtype=np.float64)
        if values.ndim != 4 or values.shape[0] != n or values.shape[2:] != (len(self.epochs), len(self.metrics)):
            raise ArgumentError(
                f"values have shape {values.shape}; expected ({n}, seeds, {len(self.epochs)}, {len(self.metrics)})."
            )
        if costs.shape != (n, len(self.cost_names)):
            raise ArgumentError(f"costs have shape {costs.shape}; expected ({n}, {len(self.cost_names)}).")
        names, numbers = self.hyperparameter_names, self.hyperparameters
        if (numbers is None) != (not names) or (numbers is not None and numbers.shape != (n, len(names))):
            found = None if numbers is None else numbers.shape
            raise ArgumentError(f"hyperparameters have shape {found}; expected ({n}, {len(names)}), or None of none.")
        if (self.widths is None) != (numbers is None) or (self.widths is not None and self.widths.shape != (n,)):
            raise ArgumentError(f"widths are {self.widths}; expected ({n},) beside hyperparameters, else None.")
        # A diverged training's loss is infinite: nothing to regress on. Its scores are numbers, and stay.
        object.__setattr__(self, "values", np.where(np.isfinite(values), values, np.nan))
        object.__setattr__(self, "costs", np.where(np.isfinite(costs), costs, np.nan))

    @property
    def stages(self) -> int:
        """Blocks in a row, skips among them."""
        return self.digits.shape[1]

    def take(self, rows: np.ndarray) -> Measurements:
        """Some architectures only; ``rows`` are places or a mask."""
        return replace(
            self,
            digits=self.digits[rows],
            values=self.values[rows],
            costs=self.costs[rows],
            hyperparameters=None if self.hyperparameters is None else self.hyperparameters[rows],
            widths=None if self.widths is None else self.widths[rows],
        )

    def of_seeds(self, seeds: list[int]) -> Measurements:
        """Some replicates only."""
        return replace(self, values=self.values[:, seeds])

    def of_metrics(self, names: tuple[str, ...]) -> Measurements:
        """Some metrics only."""
        return replace(self, metrics=names, values=self.values[..., [self.metrics.index(name) for name in names]])

    def measured(self) -> np.ndarray:
        """Which architectures have any value, bool ``(architectures,)``."""
        return np.asarray(~np.isnan(self.values).all(axis=(1, 2, 3)))

    def means(self) -> np.ndarray:
        """Means over the replicates there are, ``(architectures, epochs, metrics)``; NaN where there is none."""
        return mean_of(self.values)

    def counts(self) -> np.ndarray:
        """Replicates behind each mean, ``(architectures, epochs, metrics)``."""
        return (~np.isnan(self.values)).sum(axis=1)


def mean_of(values: np.ndarray) -> np.ndarray:
    """Means over axis 1, passing over NaN; NaN where there is nothing else."""
    known = ~np.isnan(values)
    count = known.sum(axis=1)
    return np.where(count > 0, np.where(known, values, 0.0).sum(axis=1) / np.maximum(count, 1), np.nan)
