"""The ODE layer: z(t1) of dz/dt = f(t, z), z(t0) = z0."""

from __future__ import annotations

from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.ode.fixed_grid import RungeKutta4
from metabench.layers.ode.solver import ODESolver, VectorField
from metabench.layers.record import Policy, Solution, apply_policy

__all__ = ["ode_solve"]


def ode_solve(
    f: VectorField,
    z0: Tensor,
    *,
    t0: float = 0.0,
    t1: float = 1.0,
    solver: ODESolver | None = None,
    policy: Policy = "warn",
) -> Solution:
    """Integrates ``f`` from ``t0`` to ``t1`` with gradients to ``z0`` and everything that ``f`` depends on.

    Args:
        f: vector field ``f(t, z)``, ``(..., dim) -> (..., dim)``.
        z0: initial state ``(..., dim)``.
        t0: initial time.
        t1: final time, other than ``t0``.
        solver: how to integrate; RK4 with 10 steps by default.
        policy: what to do with samples that become non-finite.

    Raises:
        ArgumentError: if the times are equal or ``f`` returns another shape or dtype.

    Reference: Chen et al. (2018), arXiv:1806.07366.
    """
    if t0 == t1:
        raise ArgumentError(f"t0 = t1 = {t0}; expected two different times.")

    def checked(t: float | Tensor, z: Tensor) -> Tensor:
        slope = f(t, z)
        if slope.shape != z.shape or slope.dtype != z.dtype:
            raise ArgumentError(
                f"f returned {tuple(slope.shape)} {slope.dtype} for a state {tuple(z.shape)} {z.dtype}; "
                "expected the same."
            )
        return slope

    value, record = (RungeKutta4() if solver is None else solver).integrate(checked, z0, t0, t1)
    return Solution(apply_policy(value, record, policy, "ODE"), record)
