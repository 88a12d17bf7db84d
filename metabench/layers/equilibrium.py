"""The equilibrium layer: z* = f(z*) with a gradient."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.adjoint.adjoint import Adjoint
from metabench.layers.adjoint.implicit import Implicit
from metabench.layers.fixed_point.anderson import Anderson
from metabench.layers.fixed_point.solver import FixedPointSolver, iterate
from metabench.layers.record import Policy, Solution, apply_policy
from metabench.layers.stopping import Tolerance

__all__ = ["fixed_point"]


def fixed_point(
    f: Callable[[Tensor], Tensor],
    z0: Tensor,
    *,
    solver: FixedPointSolver | None = None,
    stopping: Tolerance | None = None,
    adjoint: Adjoint | None = None,
    policy: Policy = "warn",
) -> Solution:
    """Solves z* = f(z*) and differentiates it with respect to everything that ``f`` depends on.

    Args:
        f: map ``(..., dim) -> (..., dim)`` acting on each sample separately; it may close over inputs and parameters.
        z0: initial iterate ``(..., dim)``; no gradient flows to it.
        solver: how to solve; Anderson acceleration by default.
        stopping: when a sample is done.
        adjoint: how the gradient is found; implicit, with the forward solver and tolerance, by default.
        policy: what to do with samples that do not converge.

    Returns:
        The equilibrium ``(..., dim)`` and the per-sample record; ``record.backward`` is filled by the backward pass.

    Raises:
        ArgumentError: if ``f`` returns another shape or dtype.
        SolverError: under ``policy="raise"``.

    Reference: Bai, Kolter and Koltun (2019), arXiv:1909.01377.
    """
    if z0.ndim < 1 or not z0.is_floating_point():
        raise ArgumentError(f"z0 has shape {tuple(z0.shape)} and dtype {z0.dtype}; expected floating point (..., dim).")
    solver = Anderson() if solver is None else solver
    stopping = Tolerance() if stopping is None else stopping
    adjoint = Implicit(solver=solver, stopping=stopping) if adjoint is None else adjoint

    def checked(z: Tensor) -> Tensor:
        fz = f(z)
        if fz.shape != z.shape or fz.dtype != z.dtype:
            raise ArgumentError(
                f"f returned {tuple(fz.shape)} {fz.dtype} for a state {tuple(z.shape)} {z.dtype}; expected the same."
            )
        return fz

    value, record = iterate(checked, z0.detach(), solver, stopping)
    value = apply_policy(value, record, policy, "fixed point")
    if torch.is_grad_enabled():
        value = adjoint.attach(f, value, record)
    return Solution(value, record)
