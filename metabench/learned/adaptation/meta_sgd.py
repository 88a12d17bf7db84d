"""Meta-SGD: a step size of every entry is meta-learned with the initialisation."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.learned.adaptation.losses import BatchedLoss
from metabench.learned.adaptation.meta_learner import MetaLearner, descend, query_gradient
from metabench.learned.optimizers.rule import Parameters
from metabench.problems.few_shot import Episodes

__all__ = ["RATE", "MetaSGD"]

RATE = "rate:"
"""Prefix of the step sizes among the meta-parameters."""


@dataclass(frozen=True)
class MetaSGD(MetaLearner):
    """theta - rate * gradient, entry by entry; both are meta-learned. ``step_size`` is where rates start.

    Reference: Li, Zhou, Chen and Li (2017), arXiv:1707.09835.
    """

    def initial(self, loss: BatchedLoss) -> Parameters:
        start = super().initial(loss)
        return start | {RATE + name: torch.full_like(value, self.step_size) for name, value in start.items()}

    def adapt(self, loss: BatchedLoss, meta: Parameters, x: Tensor, y: Tensor, steps: int) -> Parameters:
        stacked = loss.stacked(meta, len(x))
        start = {name: value for name, value in stacked.items() if not name.startswith(RATE)}
        rates = {name: stacked[RATE + name] for name in start}
        return descend(loss, start, x, y, steps=steps, rates=rates, first_order=self.first_order)

    def meta_gradient(self, loss: BatchedLoss, meta: Parameters, episodes: Episodes) -> tuple[Tensor, Parameters]:
        return query_gradient(self, loss, meta, episodes)
