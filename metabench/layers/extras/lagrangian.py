"""Vector fields from a learned Lagrangian, in any coordinates."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.extras.hamiltonian import halves
from metabench.layers.extras.products import differentiable_point
from metabench.layers.ode.solver import VectorField

__all__ = ["lagrangian_field"]


def lagrangian_field(lagrangian: Callable[[Tensor, Tensor], Tensor]) -> VectorField:
    """The field dq/dt = v, dv/dt = (d2L/dv2)^-1 (dL/dq - (d2L/dv dq) v) on states (q, v).

    Args:
        lagrangian: L(q, v), two tensors ``(..., n)`` to ``(...,)``, acting on each sample separately; d2L/dv2 must be
            invertible. A sample where it is not gets a non-finite acceleration, which harms no other sample.

    Returns:
        A field on ``(..., 2 n)``, differentiable with respect to the state and everything that ``lagrangian`` depends
        on; n + 1 gradients an evaluation.

    Raises:
        ArgumentError: (from the field) if the state's last axis is odd, L does not return ``(...,)`` or is linear in v.

    Reference: Cranmer et al. (2020), arXiv:2003.04630.
    """

    def field(t: float | Tensor, state: Tensor) -> Tensor:
        point, recorded = differentiable_point(state)
        with torch.enable_grad():
            value = lagrangian(*halves(point))
            if value.shape != state.shape[:-1]:
                raise ArgumentError(
                    f"L returned {tuple(value.shape)}; expected {tuple(state.shape[:-1])}, one a sample."
                )
            (gradient,) = torch.autograd.grad(value.sum(), point, create_graph=True)
            if not gradient.requires_grad:
                raise ArgumentError("L is linear in q and v; expected an invertible d2L/dv2 (a kinetic energy).")
            by_q, momentum = halves(gradient)
            rows = [_row(component, point, recorded) for component in momentum.unbind(-1)]
            mixed, mass = torch.stack(rows, dim=-2).chunk(2, dim=-1)  # d2L/dv dq and d2L/dv2, (..., n, n)
            v = halves(point)[1]
            force = by_q - (mixed @ v[..., None])[..., 0]
            acceleration, _ = torch.linalg.solve_ex(mass, force[..., None])
            slope = torch.cat([v, acceleration[..., 0]], dim=-1)
        return slope if recorded else slope.detach()

    return field


def _row(component: Tensor, point: Tensor, recorded: bool) -> Tensor:
    """Gradient of one momentum ``(...,)`` with respect to (q, v), ``(..., 2 n)``."""
    (row,) = torch.autograd.grad(
        component.sum(), point, retain_graph=True, create_graph=recorded, materialize_grads=True
    )
    return row
