"""Projections as layers, with their exact closed-form gradient."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metabench.layers.adjoint.first_order import refuse_second_order
from metabench.layers.argmin.sets import ConvexSet, Simplex

__all__ = ["project", "project_simplex"]


class _Project(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, v: Tensor, onto: ConvexSet) -> Tensor:
        z = onto.project(v)
        ctx.save_for_backward(z)
        ctx.onto = onto
        return z

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        refuse_second_order("projection")
        (z,) = ctx.saved_tensors
        return ctx.onto.project_tangent(z, grad), None


def project(v: Tensor, onto: ConvexSet) -> Tensor:
    """Euclidean projection of ``v`` ``(..., dim)`` onto a polyhedral set, differentiable almost everywhere.

    The Jacobian is the orthogonal projector on the active face's tangent space. A second derivative raises.
    """
    return _Project.apply(v, onto)  # pyright: ignore[reportReturnType]


def project_simplex(v: Tensor, radius: float = 1.0) -> Tensor:
    """Projection of ``v`` ``(..., dim)`` onto {z >= 0, sum z = radius} (sparsemax for radius 1).

    Reference: Martins and Astudillo (2016), arXiv:1602.02068.
    """
    return project(v, Simplex(radius))
