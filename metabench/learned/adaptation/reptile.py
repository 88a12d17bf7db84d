"""Reptile: the initialisation moves towards where each problem's own training ends."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.learned.adaptation.losses import BatchedLoss
from metabench.learned.adaptation.meta_learner import MetaLearner, descend
from metabench.learned.optimizers.rule import Parameters
from metabench.problems.few_shot import Episodes

__all__ = ["Reptile"]


@dataclass(frozen=True)
class Reptile(MetaLearner):
    """The direction is the mean of (theta - theta after ``steps`` steps) / (steps * step_size); first order always.

    Support and query together are the data of the inner steps, since no loss is held out.

    Reference: Nichol, Achiam and Schulman (2018), arXiv:1803.02999; the division is their equation for using the
    difference as a gradient.
    """

    def adapt(self, loss: BatchedLoss, meta: Parameters, x: Tensor, y: Tensor, steps: int) -> Parameters:
        stacked = loss.stacked(meta, len(x))
        return descend(loss, stacked, x, y, steps=steps, rates=self.step_size, first_order=True)

    @torch.no_grad()
    def meta_gradient(self, loss: BatchedLoss, meta: Parameters, episodes: Episodes) -> tuple[Tensor, Parameters]:
        x, y = (torch.cat(pair, dim=1) for pair in (episodes[::2], episodes[1::2]))
        start = loss.stacked(meta, len(x))
        end = self.adapt(loss, meta, x, y, self.steps)
        mean = loss(end, x, y).mean()
        unit = self.steps * self.step_size
        axis_kept = loss.batching == "replicates"
        return mean, {name: (start[name] - end[name]).mean(0, keepdim=axis_kept) / unit for name in meta}
