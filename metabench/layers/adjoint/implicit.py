"""The implicit function theorem, solved iteratively with vector-Jacobian products."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.adjoint.adjoint import Adjoint
from metabench.layers.adjoint.image import attached_image, depends_on_others, require_same, spare_diverged
from metabench.layers.adjoint.replace import replace_gradient
from metabench.layers.fixed_point.form import Form, Pullback
from metabench.layers.fixed_point.iterate import iterate
from metabench.layers.fixed_point.mapping import Function, Mapping
from metabench.layers.fixed_point.solver import FixedPointSolver, Take
from metabench.layers.record import Policy, SolveRecord, apply_policy
from metabench.layers.stopping import Tolerance
from metabench.layers.transforms import is_differentiated, refuse_transform

__all__ = ["Implicit", "Linearise", "WarmStart"]


@dataclass
class WarmStart:
    """Remembers the last adjoint solution, to begin the next one of the same shape from it.

    Attributes:
        value: ``(..., dim)``, or None before the first backward pass.
    """

    value: Tensor | None = None


Linearise = Callable[..., Callable[[Tensor, Tensor], Tensor]]


@dataclass(frozen=True)
class _Written(Mapping):
    """u -> grad + (df/dz)^T u at z*, with products written by hand."""

    grad: Tensor
    z: Tensor
    inputs: Sequence[Tensor] | None
    linearise: Linearise
    product: Callable[[Tensor, Tensor], Tensor]

    @staticmethod
    def make(grad: Tensor, z: Tensor, inputs: Sequence[Tensor] | None, linearise: Linearise) -> _Written:
        return _Written(grad, z, inputs, linearise, linearise(z, *(inputs or ())))

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        u = self.product(z, self.grad)
        return u, u

    @property
    def narrows(self) -> bool:
        """Not if f may close over per-sample tensors."""
        return self.inputs is not None

    def narrow(self, take: Take) -> _Written:
        """Linearises again for the samples that are left."""
        return _Written.make(take(self.grad), take(self.z), [take(x) for x in self.inputs or ()], self.linearise)

    def form(self) -> Form | None:
        """A pullback's, where the products by hand are one."""
        return self.product.form(self.grad) if isinstance(self.product, Pullback) else None


class _Recorded(Mapping):
    """u -> grad + (df/dz)^T u at z*, with autograd's products."""

    def __init__(
        self, grad: Tensor, leaf: Tensor, image: Tensor, f: Callable[..., Tensor], inputs: Sequence[Tensor] | None
    ) -> None:
        self.grad, self.leaf, self.image, self.f, self.inputs = grad, leaf, image, f, inputs

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        if not self.image.requires_grad:  # f does not depend on z
            return self.grad, self.grad
        (product,) = torch.autograd.grad(self.image, self.leaf, z, retain_graph=True, allow_unused=True)
        u = self.grad if product is None else self.grad + product
        return u, u

    @property
    def narrows(self) -> bool:
        """Not if f may close over per-sample tensors."""
        return self.inputs is not None

    def narrow(self, take: Take) -> _Recorded:
        """Linearises again for the samples that are left."""
        inputs = [take(x) for x in self.inputs or ()]
        with torch.enable_grad():
            leaf = take(self.leaf.detach()).requires_grad_()
            image = self.f(leaf, *inputs)
        require_same(take(self.image.detach()), image, None, "implicit adjoint")
        return _Recorded(take(self.grad), leaf, image, self.f, inputs)


@dataclass(frozen=True)
class Implicit(Adjoint):
    """u = w + (df/dz)^T u, a linear fixed point of vector-Jacobian products; then dL = u^T df/dtheta.

    Attributes:
        solver: solves the adjoint fixed point; None takes the forward solver.
        stopping: its tolerance and step limit, None the forward ones; only the relative part counts, since a
            gradient's scale is arbitrary.
        policy: what to do with samples whose adjoint does not converge.
        linearise: the products by hand, where autograd's overhead counts: ``linearise(z, *inputs)`` returns a function
            ``(u, w) -> w + (df/dz)^T u``. None takes autograd's.
        warm_start: where the last adjoint solution is kept for the next solve to begin from.

    Reference: Bai, Kolter and Koltun (2019), arXiv:1909.01377, theorem 1.
    """

    solver: FixedPointSolver | None = None
    stopping: Tolerance | None = None
    policy: Policy = "warn"
    linearise: Linearise | None = field(default=None, compare=False)
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
        leaf = value.detach().requires_grad_() if self.linearise is None else value
        image, bad = attached_image(f, leaf, inputs, record)
        if not (depends_on_others(image, leaf) if self.linearise is None else is_differentiated(image)):
            return value, record
        back_solver, back_stopping = self.solver or solver, (self.stopping or stopping).relative()

        def adjoint(grad: Tensor) -> Tensor:
            at, constants = value, fixed
            if bad is not None:
                grad, at = grad.masked_fill(bad, 0.0), value.masked_fill(bad, 0.0)
                _, constants = spare_diverged(record, fixed)
            start = self.warm_start.value if self.warm_start is not None else None
            if start is not None and start.shape != grad.shape:
                raise ArgumentError(
                    f"warm start of shape {tuple(start.shape)} for a state {tuple(grad.shape)}; use one for each layer."
                )
            mapping: Mapping
            if self.linearise is None:
                mapping = _Recorded(grad, leaf, image, f, constants)
            else:
                with torch.no_grad():
                    require_same(image, f(at, *(constants or ())), bad, "implicit adjoint")
                mapping = _Written.make(grad, at, constants, self.linearise)
            u, record.backward = iterate(mapping, grad if start is None else start, back_solver, back_stopping)
            if self.warm_start is not None:
                self.warm_start.value = u
            return apply_policy(u, record.backward, self.policy, "implicit adjoint")

        return replace_gradient(image, adjoint, "implicit adjoint"), record
