"""Noise-reuse evolution strategies: unbiased over whole runs as PES is, each update of no more variance."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metabench.learned.meta_training.estimators import Estimate, Estimator, Inner, Noise, antithetic, check_sigma

__all__ = ["NoiseReuseES"]


@dataclass(frozen=True)
class NoiseReuseES(Estimator):
    """epsilon (L(w + epsilon) - L(w - epsilon)) / (2 sigma^2), each run with one epsilon from its beginning to its end.

    Where PES draws anew for every truncation and multiplies by the sum of all draws, this draws once a run. An
    estimate has the same mean; its variance is never larger, and the part of it that comes from chaotic or noisy losses
    does not grow with the age of the run.

    Attributes:
        sigma: standard deviation of the perturbation of a run.

    Reference: Li, Harrison, Sohl-Dickstein, Smith and Metz (2023), Variance-reduced gradient estimation via noise-reuse
        in online evolution strategies, arXiv:2304.12180.
    """

    sigma: float = 0.01
    runs_per_unit = 2

    def __post_init__(self) -> None:
        check_sigma(self.sigma)

    @torch.no_grad()
    def estimate(self, inner: Inner, weights: Tensor, run: Any, memory: Tensor, noise: Noise) -> Estimate:
        fresh = (memory == 0).all(1)  # fresh memory is zero; a draw never is
        draws = [self.sigma * noise(unit) if new else memory[unit] for unit, new in enumerate(fresh.tolist())]
        epsilon = torch.stack(draws)
        run, losses = inner.unroll(torch.cat([weights + epsilon, weights - epsilon]), run)
        up, down = losses.chunk(2)
        gradient = antithetic(epsilon, up, down, self.sigma)
        return Estimate(gradient, (up + down) / 2, run, epsilon)
