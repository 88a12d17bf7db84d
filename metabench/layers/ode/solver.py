"""The interface of an ODE solver."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from typing import Any

from torch import Tensor

from metabench.layers.record import SolveRecord

__all__ = ["ODESolver", "Observe", "Run", "VectorField"]

VectorField = Callable[[float | Tensor, Tensor], Tensor]

# Runs one step: run(step, *arguments) returns what step(*arguments) returns. An adjoint may run it with checkpoints.
Run = Callable[..., Any]

# Called after each step with its stages: times, states (..., dim) and quadrature weights b_i h, which are 0 for a
# sample that rejected the step. Summing weight * g(time, state) over all calls integrates g along the solution.
Observe = Callable[[Sequence[float | Tensor], Sequence[Tensor], Sequence[float | Tensor]], None]


class ODESolver(ABC):
    """Integrates dz/dt = f(t, z) through given times, differentiably."""

    @abstractmethod
    def integrate(
        self,
        f: VectorField,
        z: Tensor,
        times: Sequence[float],
        *,
        run: Run | None = None,
        observe: Observe | None = None,
    ) -> tuple[list[Tensor], SolveRecord]:
        """Solves from the first time to the last.

        Args:
            f: vector field; fixed grids call it with a float, adaptive solvers with a tensor ``(..., 1)`` of each
                sample's own time, so a field that uses its time must broadcast.
            z: state at the first time, ``(..., dim)``.
            times: at least two, strictly increasing or strictly decreasing.
            run: runs each step; None calls it.
            observe: sees the stages of each step.

        Returns:
            The states at ``times``, each ``(..., dim)`` (the first is ``z``), and the per-sample record.

        Raises:
            ArgumentError: if ``run`` or ``observe`` is given and this solver does not show its steps.
        """
