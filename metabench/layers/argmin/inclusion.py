"""The monotone inclusion layer and the quadratic program as its symmetric case."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.adjoint.first_order import refuse_second_order
from metabench.layers.argmin.sets import ConvexSet
from metabench.layers.argmin.splitting import peaceman_rachford, resolvent, step_size
from metabench.layers.record import Policy, Solution, SolveRecord, apply_policy
from metabench.layers.stopping import Tolerance

__all__ = ["monotone_inclusion", "quadratic_program"]


class _Inclusion(torch.autograd.Function):
    """Backward: on the tangent space T of the active face, 0 in A^T w - g + N_T(w); then dp = w, dA = -w z^T."""

    @staticmethod
    def forward(
        ctx: Any, A: Tensor, p: Tensor, onto: ConvexSet, modulus: float, stopping: Tolerance, records: list[SolveRecord]
    ) -> Tensor:
        step = step_size(A, modulus)
        inverse = resolvent(A, step)
        z, record = peaceman_rachford(inverse, step, p, onto.project, stopping)
        records.append(record)
        ctx.save_for_backward(inverse, step, z)
        ctx.onto, ctx.stopping, ctx.record = onto, stopping, record
        return z

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor, None, None, None, None]:
        refuse_second_order("monotone inclusion")
        inverse, step, z = ctx.saved_tensors
        w, ctx.record.backward = peaceman_rachford(
            inverse.mT, step, grad, lambda v: ctx.onto.project_tangent(z, v), ctx.stopping.relative()
        )
        dA = -(w.mT @ z) if ctx.needs_input_grad[0] else None
        return dA, w, None, None, None, None


def monotone_inclusion(
    A: Tensor,
    p: Tensor,
    onto: ConvexSet,
    *,
    modulus: float,
    stopping: Tolerance | None = None,
    policy: Policy = "warn",
) -> Solution:
    """Solves 0 in A z - p + N_C(z) by Peaceman-Rachford splitting, with the exact implicit gradient to ``A`` and ``p``.

    Covers z = relu(M z + p) with A = I - M on the orthant, and quadratic programs on a polyhedral set.

    Args:
        A: ``(..., dim, dim)``, shared by the samples; its symmetric part is at least ``modulus`` times the identity.
        p: ``(..., batch, dim)``.
        onto: the set C.
        modulus: strong monotonicity, positive; it sets the step, and too large a value only slows the iteration.
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
    records: list[SolveRecord] = []
    stopping = Tolerance() if stopping is None else stopping
    value: Any = _Inclusion.apply(A, p, onto, modulus, stopping, records)
    return Solution(apply_policy(value, records[0], policy, "monotone inclusion"), records[0])


def quadratic_program(
    Q: Tensor,
    p: Tensor,
    onto: ConvexSet,
    *,
    modulus: float | None = None,
    stopping: Tolerance | None = None,
    policy: Policy = "warn",
) -> Solution:
    """z* = argmin over C of 1/2 z^T Q z - z^T p, with the exact gradient to the shared ``Q`` and to ``p``.

    Args:
        Q: symmetric positive definite ``(..., dim, dim)``.
        p: ``(..., batch, dim)``.
        onto: the set C.
        modulus: a lower bound of Q's eigenvalues; found from Q when left out.
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
    return monotone_inclusion(Q, p, onto, modulus=modulus, stopping=stopping, policy=policy)
