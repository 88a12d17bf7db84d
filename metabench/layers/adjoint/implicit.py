"""The implicit function theorem, solved iteratively with vector-Jacobian products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.adjoint.adjoint import Adjoint
from metabench.layers.adjoint.first_order import refuse_second_order
from metabench.layers.adjoint.image import attached_image
from metabench.layers.fixed_point.iterate import iterate
from metabench.layers.fixed_point.mapping import Function, Mapping
from metabench.layers.fixed_point.solver import FixedPointSolver, Take
from metabench.layers.record import Policy, SolveRecord, apply_policy
from metabench.layers.stopping import Tolerance
from metabench.layers.transforms import refuse_transform

__all__ = ["Implicit", "WarmStart"]


@dataclass
class WarmStart:
    """Remembers the last adjoint solution, to begin the next one of the same shape from it.

    Attributes:
        value: ``(..., dim)``, or None before the first backward pass.
    """

    value: Tensor | None = None


class _Adjoint(Mapping):
    """u -> grad + (df/dz)^T u at z*."""

    def __init__(self, grad: Tensor, z: Tensor, image: Tensor, f: Callable[..., Tensor], inputs: Any) -> None:
        self.grad, self.z, self.image, self.f, self.inputs = grad, z, image, f, inputs

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        (product,) = torch.autograd.grad(self.image, self.z, z, retain_graph=True, allow_unused=True)
        u = self.grad if product is None else self.grad + product
        return u, u

    def narrow(self, take: Take) -> _Adjoint | None:
        """Linearises again for the samples that are left."""
        if self.inputs is None:
            return None
        inputs = [take(x.detach()) for x in self.inputs]
        with torch.enable_grad():
            z = take(self.z.detach()).requires_grad_()
            image = self.f(z, *inputs)
        return _Adjoint(take(self.grad), z, image, self.f, inputs)


class _ReplaceGradient(torch.autograd.Function):
    """Forward z*'s image; backward w becomes the solution u of u = w + (df/dz)^T u."""

    @staticmethod
    def forward(ctx: Any, image: Tensor, solve: Callable[[Tensor], Tensor]) -> Tensor:
        ctx.solve = solve
        return image.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None]:
        refuse_second_order("implicit adjoint")
        return ctx.solve(grads[0]), None


@dataclass(frozen=True)
class Implicit(Adjoint):
    """u = w + (df/dz)^T u, a linear fixed point of vector-Jacobian products; then dL = u^T df/dtheta.

    Attributes:
        solver: solves the adjoint fixed point; None takes the forward solver.
        stopping: its tolerance and step limit, None the forward ones; only the relative part counts, since a
            gradient's scale is arbitrary.
        policy: what to do with samples whose adjoint does not converge.
        warm_start: where the last adjoint solution is kept for the next solve to begin from.

    Reference: Bai, Kolter and Koltun (2019), arXiv:1909.01377, theorem 1.
    """

    solver: FixedPointSolver | None = None
    stopping: Tolerance | None = None
    policy: Policy = "warn"
    warm_start: WarmStart | None = field(default=None, compare=False)

    def solve(
        self,
        f: Callable[..., Tensor],
        z0: Tensor,
        inputs: Sequence[Tensor] | None,
        solver: FixedPointSolver,
        stopping: Tolerance,
    ) -> tuple[Tensor, SolveRecord]:
        """Solves without a graph, evaluates ``f`` once more with one, and replaces the gradient that enters it."""
        fixed = None if inputs is None else [x.detach() for x in inputs]
        value, record = iterate(Function(f, fixed), z0.detach(), solver, stopping)
        if not torch.is_grad_enabled():
            return value, record
        refuse_transform("the implicit adjoint")
        leaf, image, bad = attached_image(f, value, inputs, record)
        if not image.requires_grad:
            return value, record
        back_solver, back_stopping = self.solver or solver, (self.stopping or stopping).relative()

        def adjoint(grad: Tensor) -> Tensor:
            if bad is not None:
                grad = grad.masked_fill(bad, 0.0)
            start = self.warm_start.value if self.warm_start is not None else None
            if start is not None and start.shape != grad.shape:
                raise ArgumentError(
                    f"warm start of shape {tuple(start.shape)} for a state {tuple(grad.shape)}; use one for each layer."
                )
            mapping = _Adjoint(grad, leaf, image, f, inputs)
            u, record.backward = iterate(mapping, grad if start is None else start, back_solver, back_stopping)
            if self.warm_start is not None:
                self.warm_start.value = u
            return apply_policy(u, record.backward, self.policy, "implicit adjoint")

        return _ReplaceGradient.apply(image, adjoint), record  # pyright: ignore[reportReturnType]
