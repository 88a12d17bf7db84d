"""Gradients of a few steps taken at the solution: Jacobian-free, truncated and phantom gradients."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.adjoint.adjoint import Adjoint
from metabench.layers.adjoint.image import attached_image, spare_diverged
from metabench.layers.fixed_point.iterate import iterate
from metabench.layers.fixed_point.mapping import Function
from metabench.layers.fixed_point.solver import FixedPointSolver
from metabench.layers.record import SolveRecord, SolveStatus
from metabench.layers.stopping import Tolerance
from metabench.layers.transforms import is_differentiated

__all__ = ["JacobianFree", "Phantom", "Truncated"]


def _solve_and_step(
    f: Callable[..., Tensor],
    z0: Tensor,
    inputs: Sequence[Tensor] | None,
    solver: FixedPointSolver,
    stopping: Tolerance,
    steps: int,
    damping: float,
) -> tuple[Tensor, SolveRecord]:
    fixed = None if inputs is None else [x.detach() for x in inputs]
    value, record = iterate(Function(f, fixed), z0.detach(), solver, stopping)
    if not torch.is_grad_enabled():
        return value, record
    image, bad = attached_image(f, value, inputs, record)
    if not is_differentiated(image):
        return value, record
    _, safe = spare_diverged(record, inputs)
    z = torch.lerp(value, image, damping)
    for _ in range(steps - 1):
        z = torch.lerp(z, f(z, *(safe or ())), damping)
    record.nfe = record.nfe + (steps - 1)
    if bad is not None:
        z = torch.where(bad, value, z)
    count = torch.full_like(record.nfe, steps)
    code = torch.full_like(record.status, SolveStatus.CONVERGED.code)
    record.backward = SolveRecord(code, count, count, torch.zeros_like(record.residual))
    return z, record


@dataclass(frozen=True)
class JacobianFree(Adjoint):
    """(I - J)^-1 is replaced by I: the gradient of one step at the solution. Cheap and biased.

    Reference: Fung et al. (2022), JFB, arXiv:2103.12803.
    """

    def solve(
        self,
        f: Callable[..., Tensor],
        z0: Tensor,
        inputs: Sequence[Tensor] | None,
        solver: FixedPointSolver,
        stopping: Tolerance,
    ) -> tuple[Tensor, SolveRecord]:
        """One step with a graph."""
        return _solve_and_step(f, z0, inputs, solver, stopping, 1, 1.0)


@dataclass(frozen=True)
class Truncated(Adjoint):
    """The first ``steps`` terms of (I - J)^-1 = I + J + J^2 + ...: backpropagation through the last steps only.

    The error falls like the spectral radius of J to the power ``steps``.

    Attributes:
        steps: terms kept; 1 is :class:`JacobianFree`.

    Reference: Shaban et al. (2019), Truncated back-propagation for bilevel optimization, arXiv:1810.10667.
    """

    steps: int = 10

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ArgumentError(f"steps={self.steps}: expected at least 1.")

    def solve(
        self,
        f: Callable[..., Tensor],
        z0: Tensor,
        inputs: Sequence[Tensor] | None,
        solver: FixedPointSolver,
        stopping: Tolerance,
    ) -> tuple[Tensor, SolveRecord]:
        """Plain steps with a graph, from the solution."""
        return _solve_and_step(f, z0, inputs, solver, stopping, self.steps, 1.0)


@dataclass(frozen=True)
class Phantom(Adjoint):
    """The gradient of ``steps`` damped steps taken at the solution: biased, better conditioned than the exact one.

    Attributes:
        steps: k.
        damping: tau in (0, 1].

    Reference: Geng et al. (2021), On training implicit models, arXiv:2111.05177.
    """

    steps: int = 5
    damping: float = 0.5

    def __post_init__(self) -> None:
        if self.steps < 1:
            raise ArgumentError(f"steps={self.steps}: expected at least 1.")
        if not 0 < self.damping <= 1:
            raise ArgumentError(f"damping={self.damping}: expected a number in (0, 1].")

    def solve(
        self,
        f: Callable[..., Tensor],
        z0: Tensor,
        inputs: Sequence[Tensor] | None,
        solver: FixedPointSolver,
        stopping: Tolerance,
    ) -> tuple[Tensor, SolveRecord]:
        """Damped steps with a graph, from the solution."""
        return _solve_and_step(f, z0, inputs, solver, stopping, self.steps, self.damping)
