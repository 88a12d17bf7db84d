"""The ODE layer: z(t1) of dz/dt = f(t, z), z(t0) = z0."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.ode.adjoint import ODEAdjoint
from metabench.layers.ode.backprop import Backprop
from metabench.layers.ode.fixed_grid import RungeKutta4
from metabench.layers.ode.solver import ODESolver, VectorField
from metabench.layers.ode.times import solve_times
from metabench.layers.record import Policy, Solution, apply_policy
from metabench.layers.transforms import under_vmap

__all__ = ["ode_solve"]


def ode_solve(
    f: VectorField,
    z0: Tensor,
    *,
    t0: float = 0.0,
    t1: float = 1.0,
    times: Sequence[float] | Tensor | None = None,
    solver: ODESolver | None = None,
    adjoint: ODEAdjoint | None = None,
    policy: Policy = "warn",
) -> Solution:
    """Integrates ``f`` with gradients to ``z0`` and everything that ``f`` depends on.

    Args:
        f: vector field ``f(t, z)``, ``(..., dim) -> (..., dim)``, acting on each sample separately. ``t`` is a float on
            a fixed grid, and a tensor ``(..., 1)`` of each sample's own time for adaptive solvers.
        z0: initial state ``(..., dim)``.
        t0: initial time.
        t1: final time, after or before ``t0``.
        times: strictly increasing or decreasing, instead of ``t0`` and ``t1``; the first is where ``z0`` holds.
        solver: how to integrate; RK4 with 10 steps by default.
        adjoint: how the gradient is found; backpropagation by default.
        policy: what to do with samples that become non-finite or run out of steps. Under ``torch.func.vmap`` "warn" is
            "keep", since no value can be looked at there, and "raise" is refused.

    Returns:
        The final state ``(..., dim)``, or with ``times`` the states at all of them ``(n, ..., dim)``, and the
        per-sample record. A sample that stopped early has its last finite state from there on.

    Raises:
        ArgumentError: if the times are equal or not monotone, or ``f`` returns another shape or dtype.
        SolverError: under ``policy="raise"``.

    Reference: Chen et al. (2018), arXiv:1806.07366.
    """
    if z0.ndim < 1 or not z0.is_floating_point():
        raise ArgumentError(f"z0 has shape {tuple(z0.shape)} and dtype {z0.dtype}; expected floating point (..., dim).")
    moments = solve_times(t0, t1, times)

    def checked(t: float | Tensor, z: Tensor) -> Tensor:
        slope = f(t, z)
        if slope.shape != z.shape or slope.dtype != z.dtype:
            raise ArgumentError(
                f"f returned {tuple(slope.shape)} {slope.dtype} for a state {tuple(z.shape)} {z.dtype}; "
                "expected the same."
            )
        return slope

    path, record = (adjoint or Backprop()).solve(checked, z0, moments, solver or RungeKutta4())
    value = path[-1] if times is None else torch.stack(path)
    if policy == "keep" or not under_vmap():
        return Solution(apply_policy(value, record, policy, "ODE"), record)
    if policy == "raise":
        raise ArgumentError("policy='raise' cannot look at values under torch.func.vmap; use 'nan' or 'keep' there.")
    if policy == "nan":
        value = torch.where(record.converged[..., None], value, torch.nan)
    return Solution(value, record)
