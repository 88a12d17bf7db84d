"""The implicit function theorem by one dense factorisation."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.layers.adjoint.adjoint import Adjoint
from metabench.layers.adjoint.image import attached_image, depends_on_others
from metabench.layers.adjoint.replace import replace_gradient
from metabench.layers.fixed_point.iterate import iterate
from metabench.layers.fixed_point.mapping import Function
from metabench.layers.fixed_point.solver import FixedPointSolver
from metabench.layers.jacobian import jacobian
from metabench.layers.record import SolveRecord, SolveStatus
from metabench.layers.stopping import Tolerance, root_mean_square
from metabench.layers.transforms import refuse_transform

__all__ = ["ImplicitDense"]


@dataclass(frozen=True)
class ImplicitDense(Adjoint):
    """u = (I - df/dz)^-T w by a batched LU: exact, whatever the spectrum; memory batch x dim^2.

    The backward record counts ``dim`` vector-Jacobian products. A singular I - J gives that sample the status DIVERGED
    and a zero gradient.

    Reference: Bai, Kolter and Koltun (2019), arXiv:1909.01377, theorem 1.
    """

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
        refuse_transform("the dense implicit adjoint")
        leaf = value.detach().requires_grad_()
        image, bad = attached_image(f, leaf, inputs, record)
        if not depends_on_others(image, leaf):
            return value, record

        @torch.no_grad()
        def adjoint(grad: Tensor) -> Tensor:
            if bad is not None:
                grad = grad.masked_fill(bad, 0.0)
            system = jacobian(image, leaf).neg_()
            system.diagonal(dim1=-2, dim2=-1).add_(1.0)
            row = grad[..., None, :]
            u, _ = torch.linalg.solve_ex(system, row, left=False)
            left = root_mean_square(row - u @ system)[..., 0] / root_mean_square(grad).clamp_min(1e-30)
            u = u[..., 0, :]
            sound = torch.isfinite(u).all(-1)
            status = torch.where(sound, SolveStatus.CONVERGED.code, SolveStatus.DIVERGED.code).to(torch.int8)
            count = torch.full_like(record.nfe, grad.shape[-1])
            record.backward = SolveRecord(status, torch.ones_like(count), count, left.nan_to_num())
            return torch.where(sound[..., None], u, torch.zeros_like(u))

        return replace_gradient(image, adjoint, "dense implicit adjoint"), record
