"""Backpropagation through the steps: the exact gradient of what was computed."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from metabench.layers.ode.adjoint import ODEAdjoint
from metabench.layers.ode.solver import ODESolver, VectorField
from metabench.layers.record import SolveRecord

__all__ = ["Backprop"]


@dataclass(frozen=True)
class Backprop(ODEAdjoint):
    """Discretise, then differentiate. Keeps every evaluation's graph; derivatives of any order.

    The accepted step sizes are constants to the gradient.

    Reference: Gholami, Keutzer and Biros (2019), arXiv:1902.10298.
    """

    def solve(
        self, f: VectorField, z0: Tensor, times: Sequence[float], solver: ODESolver
    ) -> tuple[list[Tensor], SolveRecord]:
        """The solve itself, recorded by autograd."""
        return solver.integrate(f, z0, times)
