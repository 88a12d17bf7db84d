"""The thresholds behind the projections on the simplex and on the capped simplex."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["onto_capped_simplex", "onto_simplex"]


def onto_simplex(v: Tensor, radius: float | Tensor) -> Tensor:
    """Projection of ``v`` ``(..., dim)`` on {z >= 0, sum z = radius}: the positive part of v minus a threshold.

    Newton's method on the threshold, from below: each step drops entries from the support, and a step that drops none
    is the last. A handful of steps is usual; data made to drop one entry a step must spread factorially, so that
    rounding ends them after about 17. A sample's answer does not depend on the others: once its support stays, its
    threshold does.

    Args:
        v: -infinity leaves an entry out.
        radius: positive, a number or ``(..., 1)``.

    Reference: Michelot (1986), doi:10.1007/BF00938486; Condat (2016), doi:10.1007/s10107-015-0946-6.
    """
    if v.numel() == 0:
        return v.clone()
    u = v - v.amax(-1, keepdim=True)  # in float32 a sum of large entries would lose the radius
    threshold = ((u.sum(-1, keepdim=True) - radius) / v.shape[-1]).clamp(min=-radius)
    size = torch.zeros_like(threshold)
    z = u
    for _ in range(v.shape[-1] + 1):
        z = (u - threshold).clamp_min_(0.0)
        smaller = z.sign().sum(-1, keepdim=True)  # sign is much faster than a comparison
        settled = smaller == size
        if bool(settled.all()):
            break
        threshold = torch.where(settled, threshold, threshold + (z.sum(-1, keepdim=True) - radius) / smaller)
        size = smaller
    return z


def onto_capped_simplex(v: Tensor, total: float | Tensor) -> Tensor:
    """Projection of ``v`` ``(..., dim)`` on {0 <= z <= 1, sum z = total}: v minus a threshold, clipped.

    The sum falls as the threshold rises, linearly between the 2 dim points at which an entry meets 0 or 1. They are
    sorted; on the piece that holds the total the threshold is solved for.

    Args:
        v: finite entries.
        total: in (0, dim], a number or ``(..., 1)``.

    Reference: Wang and Lu (2015), arXiv:1503.01002.
    """
    if v.numel() == 0:
        return v.clone()
    u = v - v.amax(-1, keepdim=True)
    points, order = torch.cat([u, u - 1], -1).sort(dim=-1, descending=True)
    slope = torch.where(order < v.shape[-1], 1.0, -1.0).to(v.dtype).cumsum(-1)  # of the sum, below each point
    rise = slope[..., :-1] * (points[..., :-1] - points[..., 1:])
    sums = torch.cat([torch.zeros_like(points[..., :1]), rise.cumsum(-1)], -1)  # at each point
    place = (sums <= total).sum(-1, keepdim=True).clamp_min(1) - 1
    below = (total - sums.gather(-1, place)) / slope.gather(-1, place).clamp_min(1.0)
    threshold = points.gather(-1, place) - below
    z = (u - threshold).clamp_(0.0, 1.0)
    # The running sum has rounded; one Newton step on the piece it found puts that right.
    free = (z * (1 - z)).sign().sum(-1, keepdim=True).clamp_min_(1.0)
    return (u - (threshold + (z.sum(-1, keepdim=True) - total) / free)).clamp_(0.0, 1.0)
