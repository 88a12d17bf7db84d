"""Projections as layers, with their exact closed-form gradient."""

from __future__ import annotations

from typing import Any

from torch import Tensor
from torch.autograd import Function

from metabench.layers.adjoint.first_order import refuse_second_order
from metabench.layers.argmin.convex_set import ConvexSet
from metabench.layers.argmin.sets import Simplex
from metabench.layers.argmin.transforms import refuse_transform

__all__ = ["project", "project_simplex", "sparsemax"]


class _Project(Function):
    """The set's fields are arguments of their own, so that those that are tensors get a gradient."""

    @staticmethod
    def forward(ctx: Any, v: Tensor, onto: ConvexSet, *values: float | Tensor) -> Tensor:
        z = onto.project(v)
        ctx.save_for_backward(v, z, *onto.parameters)  # the last only so that a change in place is noticed
        ctx.onto = onto
        return z

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_order("projection")
        v, z, *_ = ctx.saved_tensors
        onto: ConvexSet = ctx.onto
        to_v, _, *to_values = ctx.needs_input_grad
        dv = onto.pull_back(v, z, grads[0]).sum_to_size(v.shape) if to_v else None
        found: list[Tensor | None] = [None] * len(to_values)
        if any(to_values):
            each = zip(onto.parameter_gradients(v, z, grads[0]), onto.values, to_values, strict=True)
            found = [g.sum_to_size(value.shape) if isinstance(value, Tensor) and to else None for g, value, to in each]
        return dv, None, *found


def project(v: Tensor, onto: ConvexSet) -> Tensor:
    """Euclidean projection of ``v`` ``(..., dim)`` onto a set, differentiable almost everywhere.

    The gradient to v, and to the set's own tensors (a radius, bounds, ...), is in closed form.

    Args:
        v: the points.
        onto: the set; with tensor fields of its own sample axes it is one set for each sample.

    Raises:
        DifferentiationError: for a second derivative, and under a ``torch.func`` transform.
    """
    refuse_transform("projection")
    return _Project.apply(v, onto, *onto.values)  # pyright: ignore[reportReturnType]


def project_simplex(v: Tensor, radius: float | Tensor = 1.0) -> Tensor:
    """Projection of ``v`` ``(..., dim)`` onto {z >= 0, sum z = radius}, a number or one for each sample, ``(...)``."""
    return project(v, Simplex(radius))


def sparsemax(v: Tensor) -> Tensor:
    """Probabilities with exact zeros: the projection of the scores ``v`` ``(..., dim)`` onto the simplex.

    Reference: Martins and Astudillo (2016), arXiv:1602.02068.
    """
    return project(v, Simplex())
