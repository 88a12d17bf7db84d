"""Integrals along an ODE's path, carried as extra coordinates of its state."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.extras.augmented import append_zeros
from metabench.layers.extras.products import Linearisation, linearise
from metabench.layers.ode.layer import ode_solve
from metabench.layers.ode.solver import VectorField
from metabench.layers.record import Solution

__all__ = ["Integrand", "accumulate", "solve_with_integrals"]

Integrand = Callable[[Linearisation], Tensor]  # f linearised at z(t) -> (...,)


def accumulate(f: VectorField, integrands: Sequence[Integrand]) -> VectorField:
    """The vector field of (z, c) with dz/dt = f(t, z) and dc_i/dt = integrand_i(f at (t, z)).

    Args:
        f: vector field ``f(t, z)``, ``(..., dim) -> (..., dim)``, acting on each sample separately.
        integrands: functions of the field linearised at z(t), each returning ``(...,)``.

    Returns:
        A field on ``(..., dim + len(integrands))``; the accumulators are the last coordinates.

    Raises:
        ArgumentError: if no integrand is given.
    """
    if not integrands:
        raise ArgumentError("no integrands; expected at least one.")
    count = len(integrands)

    def field(t: float | Tensor, state: Tensor) -> Tensor:
        linear = linearise(lambda z: f(t, z), state[..., :-count])
        rates = [integrand(linear)[..., None] for integrand in integrands]
        slope = torch.cat([linear.image, *rates], dim=-1)
        return slope if linear.recorded else slope.detach()

    return field


def solve_with_integrals(
    f: VectorField, z0: Tensor, integrands: Sequence[Integrand], **settings: Any
) -> tuple[Solution, Tensor]:
    """Integrates ``f`` as ``ode_solve`` does, and the integrands along each sample's path.

    An adaptive solver controls the error of the integrals together with that of the state.

    Args:
        f: vector field ``f(t, z)``, ``(..., dim) -> (..., dim)``, acting on each sample separately.
        z0: initial state ``(..., dim)``.
        integrands: for example :func:`kinetic_energy` and :func:`jacobian_energy`.
        settings: keyword arguments of ``ode_solve``.

    Returns:
        The solution, value ``(..., dim)``, and the integrals from the initial time on, ``(..., len(integrands))``.

    Reference: Finlay et al. (2020), arXiv:2002.02798.
    """
    count = len(integrands)
    solution = ode_solve(accumulate(f, integrands), append_zeros(z0, count), **settings)
    return Solution(solution.value[..., :-count], solution.record), solution.value[..., -count:]
