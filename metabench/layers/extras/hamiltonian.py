"""Vector fields that conserve a learned energy."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.extras.products import differentiable_point
from metabench.layers.ode.solver import VectorField

__all__ = ["halves", "hamiltonian_field"]


def halves(state: Tensor) -> tuple[Tensor, Tensor]:
    """Splits a phase-space state ``(..., 2 n)`` into its halves ``(..., n)``.

    Raises:
        ArgumentError: if the last axis is not even.
    """
    if state.shape[-1] % 2 or not state.shape[-1]:
        raise ArgumentError(
            f"state of shape {tuple(state.shape)}; expected (..., 2 n): positions, then as many others."
        )
    position, other = state.chunk(2, dim=-1)
    return position, other


def hamiltonian_field(energy: Callable[[Tensor, Tensor], Tensor]) -> VectorField:
    """The field dq/dt = dH/dp, dp/dt = -dH/dq on states (q, p).

    Args:
        energy: H(q, p), two tensors ``(..., n)`` to ``(...,)``, acting on each sample separately.

    Returns:
        A field on ``(..., 2 n)``, differentiable with respect to the state and everything that ``energy`` depends on.

    Raises:
        ArgumentError: (from the field) if the state's last axis is odd or ``energy`` does not return ``(...,)``.

    Reference: Greydanus, Dzamba and Yosinski (2019), arXiv:1906.01563.
    """

    def field(t: float | Tensor, state: Tensor) -> Tensor:
        point, recorded = differentiable_point(state)
        with torch.enable_grad():
            value = energy(*halves(point))
            total = value.sum()
        if value.shape != state.shape[:-1]:
            raise ArgumentError(f"H returned {tuple(value.shape)}; expected {tuple(state.shape[:-1])}, one a sample.")
        (gradient,) = torch.autograd.grad(total, point, create_graph=recorded, materialize_grads=True)
        dq, dp = halves(gradient)
        return torch.cat([dp, -dq], dim=-1)

    return field
