"""Mehrotra's predictor-corrector interior-point method, for a convex program in non-negative multipliers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.layers.argmin.reduction import apply
from metabench.layers.record import SolveStatus
from metabench.layers.stopping import Tolerance, root_mean_square

__all__ = ["InteriorPoint", "factor_system", "interior_point"]

_START = 0.03  # product of every slack and multiplier at the first iterate, in units of the largest offset squared


@dataclass(frozen=True)
class InteriorPoint:
    """Where an interior-point solve ended.

    Attributes:
        multiplier: ``(..., m)``, positive.
        slack: ``(..., m)``, positive.
        status: int8 codes of :class:`~metabench.layers.record.SolveStatus`, ``(...)``.
        steps: int32, ``(...)``.
        residual: rms of |min(slack, multiplier)| + |gram multiplier + offset - slack|, relative to the largest offset,
            ``(...)``.
    """

    multiplier: Tensor
    slack: Tensor
    status: Tensor
    steps: Tensor
    residual: Tensor


def factor_system(gram: Tensor, ratio: Tensor, out: Tensor | None = None) -> Tensor:
    """Cholesky factor of ``gram + diag(ratio)``, ``(..., m, m)``, with a floor at rounding level for a singular gram.

    Args:
        gram: positive semidefinite with a unit diagonal, ``(..., m, m)``.
        ratio: slack / multiplier, ``(..., m)``.
        out: overwritten with the matrix, ``(..., m, m)``.
    """
    m = ratio.shape[-1]
    out = torch.empty(*ratio.shape, m, dtype=ratio.dtype, device=ratio.device) if out is None else out
    out.copy_(gram).diagonal(dim1=-2, dim2=-1).add_(ratio + m * torch.finfo(ratio.dtype).eps)
    return torch.linalg.cholesky_ex(out).L


def _solve(factor: Tensor, rhs: Tensor) -> Tensor:
    return torch.cholesky_solve(rhs.unsqueeze(-1), factor).squeeze(-1)


@torch.no_grad()
def interior_point(gram: Tensor, offset: Tensor, stopping: Tolerance) -> InteriorPoint:
    """Finds multiplier >= 0 and slack = gram multiplier + offset >= 0 with multiplier * slack = 0, for each sample.

    These are the optimality conditions of: the least 1/2 m^T gram m + m^T offset over m >= 0, the dual of projecting
    the origin on a polyhedron. Where that objective falls under -radius^2 / 2 no feasible point lies within the radius
    (weak duality), whatever the iterate: from a radius of eps^(-1/3) largest offsets on a sample is given up as
    infeasible. So is one whose multipliers, in the same units, reach eps^(-1/2): rounding then hides whether the
    constraints can hold.

    Args:
        gram: positive semidefinite with a unit diagonal, ``(..., m, m)``; its leading axes broadcast.
        offset: ``(..., m)`` ; without samples or inequalities there is nothing to do.
        stopping: when a sample is done; its ``size`` is the largest offset.

    Reference: Mehrotra (1992), SIAM J. Optim. 2(4), doi:10.1137/0802028; Nocedal and Wright (2006), algorithm 16.4.
    """
    batch, m = offset.shape[:-1], offset.shape[-1]
    if offset.numel() == 0:
        return _nothing_to_do(offset)
    epsilon = torch.finfo(offset.dtype).eps
    largest = offset.abs().amax(-1)
    unit = torch.where(largest > 0, largest, 1.0)
    d = offset / unit.unsqueeze(-1)
    threshold = stopping.threshold(unit) / unit

    system = torch.empty(*batch, m, m, dtype=d.dtype, device=d.device)
    start = _solve(factor_system(gram, torch.ones_like(d), system), d)
    # Slack - multiplier is that of the least-squares guess (offset + gram m)^2 + m^2; the product is one constant.
    root = (start.square() + 4 * _START).sqrt()
    slack, multiplier = (root + start) / 2, (root - start) / 2

    steps = torch.zeros(batch, dtype=torch.int32, device=d.device)
    stalled = torch.zeros(batch, dtype=torch.bool, device=d.device)
    done = infeasible = stalled
    reach = residual = unit
    for step in range(stopping.max_steps + 1):
        base = apply(gram, multiplier) + d
        residual = root_mean_square(torch.minimum(multiplier, slack) + (base - slack).abs())
        reach = multiplier.amax(-1)
        done = residual <= torch.add(threshold, reach, alpha=8 * epsilon)  # large multipliers leave their own rounding
        infeasible = (multiplier * (base + d)).sum(-1) < -(epsilon ** (-2 / 3))
        active = ~(done | infeasible | stalled)
        if step == stopping.max_steps or not bool(active.any()):
            break
        steps += active

        ratio = slack / multiplier
        factor = factor_system(gram, ratio, system)
        product = multiplier * slack
        mean = product.mean(-1, keepdim=True)
        # Predictor: relative moves are rho of the multiplier and -1 - rho of the slack.
        rho = _solve(factor, base).neg_().div_(multiplier)
        cross = torch.addcmul(rho, rho, rho)
        length = (0.5 + (rho + 0.5).abs().amax(-1, keepdim=True)).clamp_min_(1.0).reciprocal_()
        ahead = (product * (1 - length - length.square() * cross)).mean(-1, keepdim=True)
        centre = (ahead / mean).pow_(3).mul_(mean)
        # Corrector.
        target = torch.addcmul(centre / multiplier, slack, cross)
        move = _solve(factor, target - base)
        slack_move = torch.addcmul(target - slack, ratio, move, value=-1)
        furthest = torch.maximum(-move / multiplier, -slack_move / slack).amax(-1, keepdim=True)
        length = ((1 - mean).clamp_(0.99, 1 - epsilon) / furthest.clamp_min_(epsilon)).clamp_max_(1.0)
        moving = (length > epsilon) & active.unsqueeze(-1)  # also false where a factorisation failed
        stalled = stalled | (active & ~moving.squeeze(-1))
        multiplier = torch.where(moving, torch.addcmul(multiplier, length, move), multiplier).clamp_min_(epsilon**2)
        slack = torch.where(moving, torch.addcmul(slack, length, slack_move), slack).clamp_min_(epsilon**2)

    code = torch.where(stalled, SolveStatus.DIVERGED.code, SolveStatus.MAX_STEPS.code)
    code = torch.where(infeasible | done, SolveStatus.INFEASIBLE.code, code)
    code = torch.where(done & (reach < epsilon**-0.5), SolveStatus.CONVERGED.code, code)
    size = unit.unsqueeze(-1)
    return InteriorPoint(multiplier * size, slack * size, code.to(torch.int8), steps, residual)


def _nothing_to_do(offset: Tensor) -> InteriorPoint:
    zero = torch.zeros(offset.shape[:-1], dtype=torch.int32, device=offset.device)
    status = torch.full_like(zero, SolveStatus.CONVERGED.code, dtype=torch.int8)
    return InteriorPoint(offset, offset, status, zero, torch.zeros_like(zero, dtype=offset.dtype))
