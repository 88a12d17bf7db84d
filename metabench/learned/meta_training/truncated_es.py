"""Truncated evolution strategies."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metabench.learned.meta_training.estimators import Estimate, Estimator, Inner, Noise, antithetic, check_sigma

__all__ = ["TruncatedES"]


@dataclass(frozen=True)
class TruncatedES(Estimator):
    """epsilon (L(w + epsilon) - L(w - epsilon)) / (2 sigma^2), both from where the unperturbed run stands.

    The third run of a unit has the weights themselves; it is what the next truncation goes on from. Biased: what the
    perturbation does to later truncations is not seen.

    Attributes:
        sigma: standard deviation of the perturbation.

    Reference: Metz et al. (2019), arXiv:1810.10180; Vicol, Metz and Sohl-Dickstein (2021), arXiv:2112.13835.
    """

    sigma: float = 0.01
    runs_per_unit = 3

    def __post_init__(self) -> None:
        check_sigma(self.sigma)

    @torch.no_grad()
    def estimate(self, inner: Inner, weights: Tensor, run: Any, memory: Tensor, noise: Noise) -> Estimate:
        units = len(memory)
        epsilon = self.sigma * torch.stack([noise(unit) for unit in range(units)])
        run, losses = inner.unroll(torch.cat([weights + epsilon, weights - epsilon, weights.expand(units, -1)]), run)
        up, down, level = losses.chunk(3)
        gradient = antithetic(epsilon, up, down, self.sigma)
        return Estimate(gradient, level, inner.select(run, torch.arange(2 * units, 3 * units).repeat(3)), memory)
