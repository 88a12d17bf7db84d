"""The implicit function theorem, solved iteratively with vector-Jacobian products."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from metabench.layers.adjoint.adjoint import Adjoint
from metabench.layers.adjoint.first_order import refuse_second_order
from metabench.layers.fixed_point.anderson import Anderson
from metabench.layers.fixed_point.solver import FixedPointSolver, iterate
from metabench.layers.record import Policy, SolveRecord, apply_policy
from metabench.layers.stopping import Tolerance

__all__ = ["Implicit"]


class _ReplaceGradient(torch.autograd.Function):
    """Forward f(z*), or z* where that is not finite; backward w becomes the solution u of u = w + (df/dz)^T u."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, value: Tensor, solve: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.solve = solve
        return torch.where(torch.isfinite(image), image, value)

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None, None]:
        refuse_second_order("implicit adjoint")
        return ctx.solve(grad), None, None


@dataclass(frozen=True)
class Implicit(Adjoint):
    """u = w + (df/dz)^T u, a linear fixed point of vector-Jacobian products; then dL = u^T df/dtheta.

    Attributes:
        solver: solves the adjoint fixed point.
        stopping: its tolerance and step limit; only the relative part counts, since a gradient's scale is arbitrary.
        policy: what to do with samples whose adjoint does not converge.

    Reference: Bai, Kolter and Koltun (2019), arXiv:1909.01377, theorem 1.
    """

    solver: FixedPointSolver = field(default_factory=Anderson)
    stopping: Tolerance = field(default_factory=Tolerance)
    policy: Policy = "warn"

    def attach(self, f: Callable[[Tensor], Tensor], value: Tensor, record: SolveRecord) -> Tensor:
        """Evaluates ``f`` once more with a graph and replaces the gradient that enters it."""
        leaf = value.detach().requires_grad_()
        image = f(leaf)
        record.nfe = record.nfe + 1
        if not image.requires_grad:
            return value

        def solve(grad: Tensor) -> Tensor:
            def vjp(u: Tensor) -> Tensor:
                (product,) = torch.autograd.grad(image, leaf, u, retain_graph=True, allow_unused=True)
                return grad if product is None else grad + product

            with torch.enable_grad():
                u, record.backward = iterate(vjp, grad, self.solver, self.stopping.relative())
            return apply_policy(u, record.backward, self.policy, "implicit adjoint")

        return _ReplaceGradient.apply(image, value, solve)  # pyright: ignore[reportReturnType]
