"""Backpropagation through the iterations themselves."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.adjoint.adjoint import Adjoint
from metabench.layers.adjoint.image import spare_diverged
from metabench.layers.fixed_point.iterate import iterate
from metabench.layers.fixed_point.mapping import Function
from metabench.layers.fixed_point.picard import Picard
from metabench.layers.fixed_point.solver import FixedPointSolver
from metabench.layers.record import SolveRecord
from metabench.layers.stopping import Tolerance

__all__ = ["Unrolled"]


@dataclass(frozen=True)
class Unrolled(Adjoint):
    """Plain iterations under autograd: derivatives of any order, ``torch.func.grad`` too; memory grows with the steps.

    The solve is run once to see how many steps each sample takes, and again with a graph. The solver has to be
    :class:`~metabench.layers.Picard`. Gradients also flow to ``z0``.

    Reference: Domke (2012), Generic methods for optimization-based modeling, AISTATS.
    """

    def solve(
        self,
        f: Callable[..., Tensor],
        z0: Tensor,
        inputs: Sequence[Tensor] | None,
        solver: FixedPointSolver,
        stopping: Tolerance,
    ) -> tuple[Tensor, SolveRecord]:
        """Repeats each sample's steps with a graph."""
        if not isinstance(solver, Picard):
            raise ArgumentError(
                f"Unrolled goes through plain iterations and the solver is {type(solver).__name__}; "
                "pass solver=Picard(), or another adjoint."
            )
        fixed = None if inputs is None else [x.detach() for x in inputs]
        value, record = iterate(Function(f, fixed), z0.detach(), solver, stopping)
        if not torch.is_grad_enabled():
            return value, record
        taken = record.steps[..., None]
        bad, safe = spare_diverged(record, inputs)
        z = z0 if bad is None else z0.masked_fill(bad, 0.0)
        for step in range(1, int(taken.max()) + 1 if taken.numel() else 2):
            image = f(z, *(safe or ()))
            # A sample's value is the image at its last check; the step before that one may be damped.
            proposal = torch.where(taken == step, image, torch.lerp(z, image, solver.damping))
            z = torch.where((taken >= step) & torch.isfinite(proposal), proposal, z)
        if bad is not None:
            z = torch.where(bad, value, z)
        record.nfe = 2 * record.nfe
        record.backward = SolveRecord(record.status, record.steps, record.steps, torch.zeros_like(record.residual))
        return z, record
