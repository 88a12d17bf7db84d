"""The interface of a way back through an ODE solve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

from torch import Tensor

from metabench.layers.ode.solver import ODESolver, VectorField
from metabench.layers.record import SolveRecord

__all__ = ["ODEAdjoint"]


class ODEAdjoint(ABC):
    """Solves so that the states have a gradient to ``z0`` and to what ``f`` depends on."""

    @abstractmethod
    def solve(
        self, f: VectorField, z0: Tensor, times: Sequence[float], solver: ODESolver
    ) -> tuple[list[Tensor], SolveRecord]:
        """Returns the states at ``times``, each ``(..., dim)``, and the record; ``record.backward`` gets the VJPs."""
