"""The interface of a meta-gradient estimator, and what it is given."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from metabench.errors import ArgumentError

__all__ = ["Estimate", "Estimator", "Inner", "Noise", "antithetic", "check_sigma"]


class Inner(Protocol):
    """A batch of inner runs that can be continued; any structure that these functions understand."""

    def unroll(self, weights: Tensor, run: Any) -> tuple[Any, Tensor]:
        """Continues every run by one truncation: weights ``(runs, n)`` -> (new runs, losses ``(runs,)``)."""
        ...

    def select(self, run: Any, rows: Tensor) -> Any:
        """The runs in ``rows``, in that order; rows may repeat."""
        ...


Noise = Callable[[int], Tensor]
"""Place of a pair -> its standard normal draw ``(n,)`` for this truncation."""


class Estimate(NamedTuple):
    """What one truncation gives.

    Attributes:
        gradient: of the mean loss in the weights, one of each independent unit, ``(units, n)``.
        loss: mean loss of each unit, ``(units,)``.
        run: the continued runs.
        memory: what the estimator carries to the next truncation, ``(units, n)``, or empty.
    """

    gradient: Tensor
    loss: Tensor
    run: Any
    memory: Tensor


class Estimator(ABC):
    """Estimates the gradient of the losses of inner runs in the weights, a truncation at a time.

    A *unit* is the least that stands alone: an antithetic pair for evolution strategies, one run for backpropagation.
    A unit's numbers do not depend on the units it is batched with.

    Attributes:
        runs_per_unit: inner runs of a unit: those of a pair see the same problem and data.
    """

    runs_per_unit: int

    def fresh(self, units: int, n: int) -> Tensor:
        """The memory when inner runs begin."""
        return torch.zeros(units, n)

    @abstractmethod
    def estimate(self, inner: Inner, weights: Tensor, run: Any, memory: Tensor, noise: Noise) -> Estimate:
        """One truncation of all units.

        Args:
            inner: continues the runs.
            weights: ``(n,)``.
            run: ``units * runs_per_unit`` runs; those of a unit are ``units`` apart.
            memory: ``(units, n)``.
            noise: the units' draws.
        """


def check_sigma(sigma: float) -> None:
    """Refuses a standard deviation that is not positive.

    Raises:
        ArgumentError: with the value.
    """
    if not sigma > 0:
        raise ArgumentError(f"sigma={sigma}: expected a positive number.")


def antithetic(direction: Tensor, up: Tensor, down: Tensor, sigma: float) -> Tensor:
    """direction (up - down) / (2 sigma^2), of each unit ``(units, n)``; the losses are ``(units,)``."""
    return direction * ((up - down) / (2 * sigma**2))[:, None]
