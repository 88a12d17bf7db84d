"""Persistent evolution strategies: unbiased over whole runs though each update sees one truncation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metabench.learned.meta_training.estimators import Estimate, Estimator, Inner, Noise, antithetic, check_sigma

__all__ = ["PersistentES"]


@dataclass(frozen=True)
class PersistentES(Estimator):
    """xi <- xi + epsilon; xi (L(w + epsilon) - L(w - epsilon)) / (2 sigma^2), each run going on from its own state.

    xi is the sum of the perturbations that a pair's runs have seen since they began; with new runs it begins anew.

    Attributes:
        sigma: standard deviation of the perturbation of a truncation.

    Reference: Vicol, Metz and Sohl-Dickstein (2021), arXiv:2112.13835.
    """

    sigma: float = 0.01
    runs_per_unit = 2

    def __post_init__(self) -> None:
        check_sigma(self.sigma)

    @torch.no_grad()
    def estimate(self, inner: Inner, weights: Tensor, run: Any, memory: Tensor, noise: Noise) -> Estimate:
        units = len(memory)
        epsilon = self.sigma * torch.stack([noise(unit) for unit in range(units)])
        xi = memory + epsilon
        run, losses = inner.unroll(torch.cat([weights + epsilon, weights - epsilon]), run)
        up, down = losses.chunk(2)
        gradient = antithetic(xi, up, down, self.sigma)
        return Estimate(gradient, (up + down) / 2, run, xi)
