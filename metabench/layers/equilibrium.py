"""The equilibrium layer: z* = f(z*) with a gradient."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.adjoint.adjoint import Adjoint
from metabench.layers.adjoint.implicit import Implicit
from metabench.layers.fixed_point.anderson import Anderson
from metabench.layers.fixed_point.solver import FixedPointSolver
from metabench.layers.record import Policy, Solution, apply_policy
from metabench.layers.stopping import Tolerance
from metabench.layers.transforms import refuse_vmap

__all__ = ["fixed_point"]


def fixed_point(
    f: Callable[..., Tensor],
    z0: Tensor,
    *,
    inputs: Sequence[Tensor] | None = None,
    solver: FixedPointSolver | None = None,
    stopping: Tolerance | None = None,
    adjoint: Adjoint | None = None,
    policy: Policy = "warn",
) -> Solution:
    """Solves z* = f(z*) and differentiates it with respect to everything that ``f`` depends on.

    Args:
        f: map ``f(z, *inputs)`` of ``(..., dim)`` to the same, acting on each sample separately; parameters may be
            closed over.
        z0: initial iterate ``(..., dim)``, for a warm start the last solution; no gradient flows to it.
        inputs: the tensors ``(..., batch, k)`` that belong to the samples. Where they are named here, samples that have
            ended leave the batch and a diverged one cannot spoil the gradient of shared weights. Without them ``f`` may
            close over per-sample tensors, and the whole batch runs until its last sample ends.
        solver: how to solve; Anderson acceleration by default.
        stopping: when a sample is done.
        adjoint: how the gradient is found; implicit, with the forward solver and tolerance, by default.
        policy: what to do with samples that do not converge.

    Returns:
        The equilibrium ``(..., dim)`` and the per-sample record; ``record.backward`` is filled by the backward pass.

    Raises:
        ArgumentError: if shapes do not fit or ``f`` returns another shape or dtype.
        SolverError: under ``policy="raise"``.

    Reference: Bai, Kolter and Koltun (2019), arXiv:1909.01377.
    """
    if z0.ndim < 1 or not z0.is_floating_point():
        raise ArgumentError(f"z0 has shape {tuple(z0.shape)} and dtype {z0.dtype}; expected floating point (..., dim).")
    for i, x in enumerate(inputs or ()):
        if x.shape[:-1] != z0.shape[:-1]:
            raise ArgumentError(
                f"inputs[{i}] has shape {tuple(x.shape)} and z0 {tuple(z0.shape)}; expected the same sample axes "
                "(close over what belongs to all samples)."
            )
    refuse_vmap("fixed_point")
    solver = Anderson() if solver is None else solver
    stopping = Tolerance() if stopping is None else stopping
    adjoint = Implicit() if adjoint is None else adjoint
    value, record = adjoint.solve(f, z0, inputs, solver, stopping)
    return Solution(apply_policy(value, record, policy, "fixed point"), record)
