"""Per-sample step sizes: the first one, and the proportional-integral controller."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.layers.ode.solver import VectorField
from metabench.layers.stopping import Tolerance, root_mean_square

__all__ = ["GROW", "INTEGRAL", "SAFETY", "SHRINK", "SMALLEST_RATIO", "StepSizeController", "initial_step"]

SAFETY = 0.9
SHRINK, GROW = 0.2, 10.0
INTEGRAL = 0.04  # beta
SMALLEST_RATIO = 1e-4  # smaller errors do not ask for more growth, and leave no memory of a lucky step


@torch.no_grad()
def initial_step(
    f: VectorField, t: Tensor, z: Tensor, slope: Tensor, direction: float, order: int, tolerance: Tolerance
) -> Tensor:
    """A first step size for each sample, positive, ``(..., 1)``; one evaluation of ``f``.

    Args:
        f: vector field.
        t: initial time ``(..., 1)``.
        z: initial state ``(..., dim)``.
        slope: f(t, z).
        direction: 1.0 forward in time, -1.0 backward.
        order: order of the method.
        tolerance: the solve's.

    Reference: Hairer, Norsett and Wanner (1993), Solving ODEs I, section II.4.
    """
    size, speed = root_mean_square(z), root_mean_square(slope)
    scale = tolerance.threshold(size)
    small = (size < 1e-5 * scale) | (speed < 1e-5 * scale)
    trial = torch.where(small, 1e-6, 0.01 * size / speed).to(z.dtype)
    ahead = (direction * trial).unsqueeze(-1)
    bend = root_mean_square(f(t + ahead, torch.addcmul(z, ahead, slope)) - slope) / trial
    steepest = torch.maximum(speed, bend) / scale
    step = torch.where(steepest <= 1e-15, (trial * 1e-3).clamp_min(1e-6), (0.01 / steepest) ** (1 / (order + 1)))
    step = torch.minimum(100 * trial, step)
    return torch.where(torch.isfinite(step), step, trial).unsqueeze(-1)


@dataclass
class StepSizeController:
    """h <- h * 0.9 * ratio^-(1/p - 0.75 beta) * previous^beta, in [0.2, 10], and no growth right after a rejection.

    Here p is the order, ratio the estimated local error over the tolerance, and previous that of the last accepted
    step. Each sample has its own.

    Attributes:
        order: order of the method.
        memory: 0.9 * previous^beta, ``(..., 1)``.
        limit: the largest factor of the next step, ``(..., 1)``.

    Reference: Gustafsson (1991); Hairer and Wanner (1996), Solving ODEs II, section IV.2.
    """

    order: int
    memory: Tensor
    limit: Tensor

    @staticmethod
    def start(step: Tensor, order: int) -> StepSizeController:
        """The controller before the first of ``step``, ``(..., 1)``."""
        memory = torch.full_like(step, SAFETY * SMALLEST_RATIO**INTEGRAL)
        return StepSizeController(order, memory, torch.full_like(step, GROW))

    def factor(self, ratio: Tensor, accept: Tensor | None) -> Tensor:
        """The factor of the step size after a step with error ``ratio``, ``(..., 1)``.

        Args:
            ratio: estimated error over tolerance; NaN counts as the worst.
            accept: which samples accepted the step; None is all.
        """
        ratio = ratio.clamp_min(SMALLEST_RATIO)
        factor = ratio.pow(0.75 * INTEGRAL - 1 / self.order).mul_(self.memory).clamp_min_(SHRINK)
        factor = torch.minimum(factor, self.limit)
        memory = ratio.pow_(INTEGRAL).mul_(SAFETY)
        if accept is None:
            self.memory = memory
            self.limit.fill_(GROW)
            return factor
        self.memory = torch.where(accept, memory, self.memory)
        self.limit = torch.where(accept, GROW, 1.0).to(memory.dtype)
        return torch.where(accept, factor, factor.clamp_max(SAFETY).nan_to_num(SHRINK))
