"""The interface of an ODE solver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from metabench.layers.record import SolveRecord

__all__ = ["ODESolver", "VectorField"]

VectorField = Callable[[float | Tensor, Tensor], Tensor]


class ODESolver(ABC):
    """Integrates dz/dt = f(t, z) from t0 to t1, differentiably."""

    @abstractmethod
    def integrate(self, f: VectorField, z: Tensor, t0: float, t1: float) -> tuple[Tensor, SolveRecord]:
        """Returns z(t1), shape ``(..., dim)``, and the per-sample record."""
