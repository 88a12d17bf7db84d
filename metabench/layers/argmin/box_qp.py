"""The dense quadratic program over a box."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.argmin.qp import dense_qp
from metabench.layers.record import Policy, SolveRecord
from metabench.layers.stopping import Tolerance

__all__ = ["BoxQPSolution", "box_qp"]


@dataclass(frozen=True)
class BoxQPSolution:
    """The solution of a box-constrained quadratic program: Q z + q = lower_dual - upper_dual.

    Attributes:
        value: z, ``(..., n)``.
        lower_dual: >= 0, positive where the lower bound holds z, ``(..., n)``; 0 where there is none.
        upper_dual: likewise for the upper bound.
        record: the per-sample record; ``nfe`` counts factorisations.
    """

    value: Tensor
    lower_dual: Tensor
    upper_dual: Tensor
    record: SolveRecord


def _rows(name: str, bound: float | Tensor, sign: float, like: Tensor) -> tuple[Tensor, Tensor] | None:
    """sign z <= sign bound as rows G, h; None where no entry has a bound. A row without one reads 0 <= 1."""
    n = like.shape[-1]
    if not isinstance(bound, Tensor):
        bound = torch.full((n,), bound, dtype=like.dtype, device=like.device)
    if bound.ndim and bound.shape[-1] not in (1, n):
        raise ArgumentError(f"{name} has shape {tuple(bound.shape)}; expected (..., {n}), or a number for all.")
    bound = bound.expand(*bound.shape[:-1], n)
    rows = sign * torch.eye(n, dtype=like.dtype, device=like.device)
    absent = bound.detach() == sign * float("inf")
    if bool(absent.all()) and bound.numel():
        return None
    if not bool(absent.any()):
        return rows, sign * bound
    return rows * ~absent.unsqueeze(-1), torch.where(absent, 1.0, sign * bound)


def box_qp(
    Q: Tensor,
    q: Tensor,
    lower: float | Tensor = 0.0,
    upper: float | Tensor = 1.0,
    *,
    stopping: Tolerance | None = None,
    policy: Policy = "warn",
) -> BoxQPSolution:
    """z* = argmin 1/2 z^T Q z + q^T z subject to lower <= z <= upper, differentiable in all four and in its duals.

    A :func:`~metabench.layers.argmin.dense_qp` with the identity for its rows: to full precision, with a matrix for
    each sample or one for all. Where one matrix serves a large batch and six digits will do,
    :func:`~metabench.layers.argmin.quadratic_program` over a :class:`~metabench.layers.argmin.Box` costs less.

    Args:
        Q: symmetric positive definite, ``(..., n, n)``.
        q: ``(..., n)``.
        lower: a number, or ``(..., n)``; minus infinity for none. A sample with lower > upper is infeasible.
        upper: likewise; infinity for none.
        stopping: as for :func:`~metabench.layers.argmin.dense_qp`.
        policy: what to do with samples that do not converge.

    Raises:
        ArgumentError: for shapes that do not fit, a Q that is not symmetric, or one for all samples that is not
            positive definite.
        SolverError: under ``policy="raise"``.
        DifferentiationError: for a second derivative, and under a ``torch.func`` transform.

    Reference: Mehrotra (1992), doi:10.1137/0802028.
    """
    blocks = [_rows("upper", upper, 1.0, q), _rows("lower", lower, -1.0, q)]
    present = [block for block in blocks if block is not None]
    G = h = None
    if present:
        matrices, sides = zip(*present, strict=True)
        G, h = _stack(matrices, -2, 2), _stack(sides, -1, 1)
    solution = dense_qp(Q, q, G=G, h=h, stopping=stopping, policy=policy)
    duals = iter(solution.inequality_dual.split(q.shape[-1], dim=-1) if present else ())
    above, below = (torch.zeros_like(solution.value) if block is None else next(duals) for block in blocks)
    return BoxQPSolution(solution.value, below, above, solution.record)


def _stack(parts: tuple[Tensor, ...], axis: int, own: int) -> Tensor:
    """Parts one after the other on ``axis``, their sample axes, all but the ``own`` last, broadcast first."""
    try:
        batch = torch.broadcast_shapes(*(part.shape[:-own] for part in parts))
    except RuntimeError:
        text = " and ".join(str(tuple(part.shape[:-own])) for part in parts)
        raise ArgumentError(f"the sample axes of upper and lower, {text}, do not broadcast.") from None
    return torch.cat([part.expand(*batch, *part.shape[-own:]) for part in parts], axis)
