"""The dense quadratic program as a layer: value, duals, slack, status and the gradient of them all."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.adjoint.first_order import refuse_second_order
from metabench.layers.argmin.interior_point import factor_system, interior_point
from metabench.layers.argmin.program import check_program, set_aside
from metabench.layers.argmin.reduction import Reduction, apply, reduce_program
from metabench.layers.argmin.transforms import refuse_transform
from metabench.layers.record import Policy, SolveRecord, SolveStatus, apply_policy
from metabench.layers.stopping import Tolerance, root_mean_square

__all__ = ["QPSolution", "dense_qp"]

_TOLERANCE = Tolerance(atol=0.0, rtol=1e-12, max_steps=50)


@dataclass(frozen=True)
class QPSolution:
    """The solution of a quadratic program; with ``y`` and ``w`` the duals, Q z + q + A^T y + G^T w = 0.

    Attributes:
        value: z, ``(..., n)``.
        equality_dual: y, ``(..., p)``.
        inequality_dual: w >= 0, ``(..., m)``.
        slack: h - G z >= 0, ``(..., m)``.
        record: the per-sample record; ``nfe`` counts factorisations.
    """

    value: Tensor
    equality_dual: Tensor
    inequality_dual: Tensor
    slack: Tensor
    record: SolveRecord


def _outer(left: tuple[Tensor, Tensor], right: tuple[Tensor, Tensor], shape: torch.Size) -> Tensor:
    """left[0] right[0]^T + left[1] right[1]^T, ``(..., rows, columns)``, summed over the axes that ``shape`` lacks."""
    if len(shape) == 2:
        count = 2 * left[0].shape[:-1].numel()
        rows, columns = torch.stack(left).reshape(count, shape[0]), torch.stack(right).reshape(count, shape[1])
        return rows.mT @ columns
    return (torch.stack(left, -1) @ torch.stack(right, -2)).sum_to_size(shape)


class _DenseQP(torch.autograd.Function):
    """Backward solves the transposed optimality conditions: the same equations, with the active set held."""

    @staticmethod
    def forward(
        ctx: Any,
        Q: Tensor,
        q: Tensor,
        A: Tensor,
        b: Tensor,
        G: Tensor,
        h: Tensor,
        batch: torch.Size,
        stopping: Tolerance,
        records: list[SolveRecord],
    ) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        reduction = reduce_program(Q, A, G)
        positive = reduction.positive
        if not bool(positive.all()):
            if Q.ndim == 2:
                raise ArgumentError("Q is not positive definite; add a ridge.")
            eye = torch.eye(Q.shape[-1], dtype=Q.dtype, device=Q.device)
            reduction = reduce_program(torch.where(positive[..., None, None], Q, eye), A, G)
        offset, free, whitened = reduction.multiplier_data(q, b, h)
        end = interior_point(reduction.gram, offset.expand(*batch, -1), stopping)
        z, y = reduction.recover(free, whitened, end.multiplier)
        z, y = z.expand(*batch, -1), y.expand(*batch, -1)
        multiplier, slack = end.multiplier * reduction.scale, end.slack / reduction.scale
        status = end.status
        if not bool(reduction.independent.all()):
            status = torch.where(reduction.independent, status, SolveStatus.INFEASIBLE.code).to(torch.int8)
        status = torch.where(positive, status, SolveStatus.INVALID.code).to(torch.int8)
        record = SolveRecord(status, end.steps, end.steps, end.residual)
        records.append(record)

        ctx.set_materialize_grads(False)
        # Where the solve broke off the ratio may be anything; its gradient is cut, and one is harmless.
        ratio = torch.where((status == SolveStatus.DIVERGED.code)[..., None], 1.0, end.slack / end.multiplier)
        ctx.save_for_backward(G, z, y, multiplier, ratio)
        ctx.reduction, ctx.record, ctx.shapes = reduction, record, [tensor.shape for tensor in (Q, q, A, b, G, h)]
        return z, y, multiplier, slack

    @staticmethod
    def backward(ctx: Any, *grads: Tensor | None) -> tuple[Tensor | None, ...]:
        refuse_second_order("dense quadratic program")
        G, z, y, multiplier, ratio = ctx.saved_tensors
        reduction: Reduction = ctx.reduction
        dz, dy, dw, ds = grads
        rhs = torch.zeros_like(z) if dz is None else dz
        if ds is not None:  # slack is h - G z
            rhs = rhs - apply(G.mT, ds)
        offset, free, whitened = reduction.multiplier_data(
            rhs, torch.zeros_like(y) if dy is None else -dy, torch.zeros_like(multiplier) if dw is None else -dw
        )
        factor = factor_system(reduction.gram, ratio)
        scaled = torch.cholesky_solve(-offset.unsqueeze(-1), factor).squeeze(-1)
        left = apply(reduction.gram, scaled) + ratio * scaled + offset
        u, v = reduction.recover(free, whitened, scaled)
        w = scaled * reduction.scale

        size = root_mean_square(offset).clamp_min(torch.finfo(z.dtype).tiny)
        code = torch.where(torch.isfinite(u).all(-1), SolveStatus.CONVERGED.code, SolveStatus.DIVERGED.code)
        one = torch.ones_like(ctx.record.steps)
        ctx.record.backward = SolveRecord(code.to(torch.int8), one, one, root_mean_square(left) / size)

        dQ = dq = dA = db = dG = dh = None
        needs = ctx.needs_input_grad
        if needs[0]:
            dQ = _outer((u / 2, z / 2), (z, u), ctx.shapes[0])
        if needs[1]:
            dq = u.sum_to_size(ctx.shapes[1])
        if needs[2]:
            dA = _outer((v, y), (z, u), ctx.shapes[2])
        if needs[3]:
            db = -v.sum_to_size(ctx.shapes[3])
        force = w if ds is None else w - ds
        if needs[4]:
            dG = _outer((force, multiplier), (z, u), ctx.shapes[4])
        if needs[5]:
            dh = -force.sum_to_size(ctx.shapes[5])
        return dQ, dq, dA, db, dG, dh, None, None, None


def dense_qp(
    Q: Tensor,
    q: Tensor,
    *,
    A: Tensor | None = None,
    b: Tensor | None = None,
    G: Tensor | None = None,
    h: Tensor | None = None,
    stopping: Tolerance | None = None,
    policy: Policy = "warn",
) -> QPSolution:
    """z* = argmin 1/2 z^T Q z + q^T z subject to A z = b and G z <= h, differentiable in all six and in its duals.

    Each argument is batched or shared: sample axes broadcast, and a shared argument's gradient is the batch's sum. The
    Cholesky factor of Q and the products with it are computed once, for every iteration and for the gradient.
    A sample that is infeasible, not finite or without a positive definite Q (INVALID) is reported, harms no other and
    passes no gradient on.

    Args:
        Q: symmetric positive definite, ``(..., n, n)``.
        q: ``(..., n)``.
        A: equality rows, linearly independent, ``(..., p, n)``; left out with ``b`` for none.
        b: ``(..., p)``.
        G: inequality rows, ``(..., m, n)``; left out with ``h`` for none.
        h: ``(..., m)``.
        stopping: relative to the farthest constraint's distance, in the norm of Q, from the minimum without
            inequalities.
        policy: what to do with samples that do not converge.

    Returns:
        The value, its duals and slack, and the per-sample record. An INVALID sample has the value NaN.

    Raises:
        ArgumentError: for shapes that do not fit, a Q that is not symmetric, or one for all samples that is not
            positive definite.
        SolverError: under ``policy="raise"``.
        DifferentiationError: for a second derivative, and under a ``torch.func`` transform.

    Reference: Amos and Kolter (2017), arXiv:1703.00443; Mehrotra (1992), doi:10.1137/0802028.
    """
    refuse_transform("dense quadratic program")
    data, batch = check_program(Q, q, A, b, G, h)
    data, sound = set_aside(data, batch)
    records: list[SolveRecord] = []
    outputs: Any = _DenseQP.apply(*data, batch, stopping or _TOLERANCE, records)
    record = records[0]
    if sound is not None:
        record.status = torch.where(sound, record.status, SolveStatus.INVALID.code).to(torch.int8)
    if not bool(record.converged.all()):
        outputs = _withdraw(outputs, record, policy)
    value, equality_dual, inequality_dual, slack = outputs
    return QPSolution(
        apply_policy(value, record, policy, "dense quadratic program"), equality_dual, inequality_dual, slack, record
    )


def _withdraw(outputs: tuple[Tensor, ...], record: SolveRecord, policy: Policy) -> tuple[Tensor, ...]:
    """Cuts the gradient of samples without a usable solution, and blanks those that were never solved."""
    usable = ((record.status == SolveStatus.CONVERGED.code) | (record.status == SolveStatus.MAX_STEPS.code))[..., None]
    blank = ~record.converged if policy == "nan" else record.status == SolveStatus.INVALID.code
    outputs = tuple(torch.where(usable, tensor, tensor.detach()) for tensor in outputs)
    return tuple(tensor.masked_fill(blank[..., None], float("nan")) for tensor in outputs)
