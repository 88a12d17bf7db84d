"""The root layer: g(z*) = 0 with an implicit gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from metabench.layers.adjoint.adjoint import Adjoint
from metabench.layers.adjoint.dense import ImplicitDense
from metabench.layers.equilibrium import fixed_point
from metabench.layers.fixed_point.newton import Newton
from metabench.layers.fixed_point.solver import FixedPointSolver
from metabench.layers.record import Policy, Solution
from metabench.layers.stopping import Tolerance

__all__ = ["root"]


def root(
    g: Callable[..., Tensor],
    z0: Tensor,
    *,
    inputs: Sequence[Tensor] | None = None,
    solver: FixedPointSolver | None = None,
    stopping: Tolerance | None = None,
    adjoint: Adjoint | None = None,
    policy: Policy = "warn",
) -> Solution:
    """Solves g(z, *inputs) = 0, with dz* = -(dg/dz)^-1 dg, as the fixed point of z + g(z).

    Args:
        g: map of ``(..., dim)`` to the same shape, acting on each sample separately.
        z0: where to begin, ``(..., dim)``; it decides which of several roots is found.
        inputs: per-sample tensors ``(..., batch, k)``, as in :func:`~metabench.layers.fixed_point`.
        solver: Newton's method by default.
        stopping: a sample is done when rms(g) <= atol + rtol rms(z).
        adjoint: dense implicit by default.
        policy: what to do with samples that do not converge.

    Raises:
        ArgumentError: if shapes do not fit.
        SolverError: under ``policy="raise"``.

    Reference: Krantz and Parks (2002), The implicit function theorem.
    """
    return fixed_point(
        lambda z, *x: z + g(z, *x),
        z0,
        inputs=inputs,
        solver=Newton() if solver is None else solver,
        stopping=stopping,
        adjoint=ImplicitDense() if adjoint is None else adjoint,
        policy=policy,
    )
