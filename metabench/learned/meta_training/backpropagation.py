"""Truncated backpropagation through time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metabench.learned.meta_training.estimators import Estimate, Estimator, Inner, Noise

__all__ = ["TruncatedBackpropagation"]


@dataclass(frozen=True)
class TruncatedBackpropagation(Estimator):
    """The exact gradient of a truncation's losses from where it begins; what came before is a constant.

    Biased where early steps decide later losses, and of high variance where the inner training is chaotic.

    Reference: Werbos (1990), Backpropagation through time; Andrychowicz et al. (2016), arXiv:1606.04474.
    """

    runs_per_unit = 1

    def estimate(self, inner: Inner, weights: Tensor, run: Any, memory: Tensor, noise: Noise) -> Estimate:
        units = len(memory)
        with torch.enable_grad():
            leaf = weights.detach().expand(units, -1).clone().requires_grad_()
            run, losses = inner.unroll(leaf, run)
            (gradient,) = torch.autograd.grad(losses.sum(), leaf)
        return Estimate(gradient, losses.detach(), inner.select(run, torch.arange(units)), memory)
