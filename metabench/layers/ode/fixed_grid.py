"""Explicit Runge-Kutta methods on a fixed grid."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.ode.solver import ODESolver, VectorField
from metabench.layers.ode.tableau import RK4, ButcherTableau
from metabench.layers.record import SolveRecord

__all__ = ["RungeKutta4"]


def _combine(z: Tensor, slopes: list[Tensor], weights: tuple[float, ...], step: float) -> Tensor:
    for slope, weight in zip(slopes, weights, strict=True):
        if weight:
            z = z.add(slope, alpha=weight * step)
    return z


@dataclass(frozen=True)
class RungeKutta4(ODESolver):
    """The classical fourth-order method with equal steps; gradients by backpropagation through the steps.

    Attributes:
        steps: number of equal steps from t0 to t1.
    """

    steps: int = 10

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ArgumentError(f"steps={self.steps}: expected at least 1.")

    def integrate(self, f: VectorField, z: Tensor, t0: float, t1: float) -> tuple[Tensor, SolveRecord]:
        """Four evaluations a step."""
        tableau: ButcherTableau = RK4
        step = (t1 - t0) / self.steps
        for i in range(self.steps):
            t = t0 + i * step
            slopes = [f(t, z)]
            for node, row in zip(tableau.c, tableau.a, strict=True):
                slopes.append(f(t + node * step, _combine(z, slopes, row, step)))
            z = _combine(z, slopes, tableau.b, step)
        return z, SolveRecord.explicit(z, nfe=self.steps * len(tableau.b), steps=self.steps)
