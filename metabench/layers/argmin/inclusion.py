"""The monotone inclusion layer and the quadratic program as its symmetric case."""

from __future__ import annotations

from typing import Any, Literal, get_args

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.adjoint.first_order import refuse_second_order
from metabench.layers.argmin.convex_set import Polyhedron, refuse_parameter_gradient
from metabench.layers.argmin.onto import OntoFace, OntoSet, Projection
from metabench.layers.argmin.splitting import (
    ForwardBackward,
    PeacemanRachford,
    resolvent,
    spectral_bound,
    step_size,
)
from metabench.layers.fixed_point import Anderson, FixedPointSolver, Mapping, iterate
from metabench.layers.record import Policy, Solution, SolveRecord, SolveStatus, apply_policy
from metabench.layers.stopping import Tolerance, root_mean_square
from metabench.layers.transforms import refuse_transform

__all__ = ["monotone_inclusion", "quadratic_program"]


Splitting = Literal["peaceman-rachford", "forward-backward"]


def _mapping(
    how: Splitting, A: Tensor, inverse: Tensor, step: Tensor, p: Tensor, project: Projection, point: Tensor | None
) -> Mapping:
    if how == "peaceman-rachford":
        return PeacemanRachford.make(inverse, step, p, project, point)
    eye = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    return ForwardBackward((eye - step * A).mT, step * p, project, point)


class _Inclusion(torch.autograd.Function):
    """Backward: on the tangent space T of the active face, 0 in A^T w - g + N_T(w); then dp = w, dA = -w z^T."""

    @staticmethod
    def forward(
        ctx: Any,
        A: Tensor,
        p: Tensor,
        onto: Polyhedron,
        modulus: float,
        how: Splitting,
        solver: FixedPointSolver,
        stopping: Tolerance,
        records: list[SolveRecord],
    ) -> Tensor:
        if how == "peaceman-rachford":
            step = step_size(A, modulus)
            inverse = resolvent(A, step)
        else:
            step, inverse = modulus / spectral_bound(A).clamp_min(modulus).mul_(1.1).square(), A
        mapping = _mapping(how, A, inverse, step, p, OntoSet(onto), None)
        z, record = iterate(mapping, torch.zeros_like(p), solver, stopping)
        records.append(record)
        ctx.save_for_backward(A, inverse, step, z)
        ctx.onto, ctx.how, ctx.solver, ctx.stopping, ctx.record = onto, how, solver, stopping, record
        return z

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_order("monotone inclusion")
        A, inverse, step, z = ctx.saved_tensors
        grad = grads[0]
        lost = (ctx.record.status == SolveStatus.DIVERGED.code)[..., None]
        if bool(lost.any()):
            grad, z = grad.masked_fill(lost, 0.0), z.masked_fill(lost, 0.0)
        mapping = _mapping(ctx.how, A.mT, inverse.mT, step, grad, OntoFace(ctx.onto), z)
        # The tangent space may be a point, and w zero: the tolerance is relative to what the gradient asks for.
        scale = step[..., 0] * root_mean_square(grad)
        w, ctx.record.backward = iterate(
            mapping, torch.zeros_like(grad), ctx.solver, ctx.stopping.relative(), scale=scale
        )
        dA = -(w.mT @ z) if ctx.needs_input_grad[0] else None
        return dA, w, None, None, None, None, None, None


def monotone_inclusion(
    A: Tensor,
    p: Tensor,
    onto: Polyhedron,
    *,
    modulus: float,
    splitting: Splitting = "peaceman-rachford",
    solver: FixedPointSolver | None = None,
    stopping: Tolerance | None = None,
    policy: Policy = "warn",
) -> Solution:
    """Solves 0 in A z - p + N_C(z) by a splitting, with the exact implicit gradient to ``A`` and ``p``.

    The solution is unique whatever A is, as long as it is strongly monotone. Covers z = relu(M z + p) with A = I - M on
    the orthant, and quadratic programs on a polyhedral set.

    Args:
        A: ``(..., dim, dim)``, shared by the samples; its symmetric part is at least ``modulus`` times the identity.
        p: ``(..., batch, dim)``.
        onto: the set C, with constant bounds.
        modulus: strong monotonicity, positive; it sets the step.
        splitting: "peaceman-rachford" (one inverse of A's size, then few steps) or "forward-backward" (no inverse).
        solver: drives the splitting; Anderson acceleration after ten plain steps by default.
        stopping: per-sample tolerance, forward and backward.
        policy: what to do with samples that do not converge.

    Returns:
        z ``(..., batch, dim)`` and the per-sample record. The gradient of the shared ``A`` is the sum over the batch.

    Raises:
        ArgumentError: if the shapes do not fit.

    Reference: Winston and Kolter (2020), arXiv:2006.08591; Amos and Kolter (2017), arXiv:1703.00443.
    """
    if A.shape[-1] != A.shape[-2]:
        raise ArgumentError(f"A has shape {tuple(A.shape)}; expected square matrices (..., dim, dim).")
    if p.ndim < 2 or p.shape[-1] != A.shape[-1] or p.shape[:-2] != A.shape[:-2]:
        raise ArgumentError(
            f"p has shape {tuple(p.shape)} and A {tuple(A.shape)}; expected (..., batch, dim) and (..., dim, dim)."
        )
    if not modulus > 0:
        raise ArgumentError(f"modulus={modulus}: expected a positive number.")
    if splitting not in get_args(Splitting):
        raise ArgumentError(f"unknown splitting {splitting!r}; expected one of {', '.join(get_args(Splitting))}.")
    if not isinstance(onto, Polyhedron):
        raise ArgumentError(f"{type(onto).__name__} is not polyhedral; use projected_gradient.")
    refuse_parameter_gradient(onto, "monotone_inclusion")
    refuse_transform("monotone_inclusion")
    records: list[SolveRecord] = []
    stopping = Tolerance() if stopping is None else stopping
    solver = Anderson(delay=10) if solver is None else solver
    value: Any = _Inclusion.apply(A, p, onto, modulus, splitting, solver, stopping, records)
    return Solution(apply_policy(value, records[0], policy, "monotone inclusion"), records[0])


def quadratic_program(
    Q: Tensor,
    p: Tensor,
    onto: Polyhedron,
    *,
    modulus: float | None = None,
    splitting: Splitting = "peaceman-rachford",
    solver: FixedPointSolver | None = None,
    stopping: Tolerance | None = None,
    policy: Policy = "warn",
) -> Solution:
    """z* = argmin over C of 1/2 z^T Q z - z^T p, with the exact gradient to the shared ``Q`` and to ``p``.

    Args:
        Q: symmetric positive definite ``(..., dim, dim)``.
        p: ``(..., batch, dim)``.
        onto: the set C, with constant bounds.
        modulus: a lower bound of Q's eigenvalues; found from Q when left out.
        splitting: as for :func:`monotone_inclusion`.
        solver: as for :func:`monotone_inclusion`.
        stopping: per-sample tolerance, forward and backward.
        policy: what to do with samples that do not converge.

    Raises:
        ArgumentError: if Q is not symmetric or not positive definite.

    Reference: Amos and Kolter (2017), arXiv:1703.00443.
    """
    if modulus is None:
        fixed = Q.detach()
        if not torch.allclose(fixed, fixed.mT, rtol=1e-4, atol=1e-6):
            raise ArgumentError("Q is not symmetric; pass (Q + Q^T) / 2.")
        modulus = float(torch.linalg.eigvalsh(fixed).min())
        if not modulus > 0:
            raise ArgumentError(f"Q's least eigenvalue is {modulus:.3g}; expected a positive definite Q (add a ridge).")
    return monotone_inclusion(
        Q, p, onto, modulus=modulus, splitting=splitting, solver=solver, stopping=stopping, policy=policy
    )
