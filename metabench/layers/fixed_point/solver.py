"""The interface of a fixed-point solver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, ClassVar

from torch import Tensor

__all__ = ["FixedPointSolver", "Map", "Take"]

Map = Callable[[Tensor], Tensor]
Take = Callable[[Tensor], Tensor]


class FixedPointSolver(ABC):
    """Proposes iterates for z = f(z). Holds settings only; everything that changes is in its state.

    Attributes:
        check_every: steps from one check of convergence to the next where the user leaves it open: fewer checks for
            cheaper steps.
    """

    check_every: ClassVar[int] = 1

    @abstractmethod
    def init(self, z: Tensor) -> Any:
        """The state before the first step, for iterates like ``z`` of shape ``(..., dim)``."""

    @abstractmethod
    def step(self, f: Map, z: Tensor, fz: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The next iterate, from the present one and its image, both ``(..., dim)``.

        ``f`` may be evaluated again; such evaluations are counted. No tensor that was handed in may be written to.
        """

    @abstractmethod
    def select(self, state: Any, take: Take) -> Any:
        """The state of fewer samples: ``take`` picks them on the last axis but one of tensors ``(..., batch, k)``."""
