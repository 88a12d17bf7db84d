"""MAML: an initialisation from which a few gradient steps on a new problem go far."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor

from metabench.learned.adaptation.losses import BatchedLoss
from metabench.learned.adaptation.meta_learner import MetaLearner, descend, query_gradient
from metabench.learned.optimizers.rule import Parameters
from metabench.problems.few_shot import Episodes

__all__ = ["MAML"]


@dataclass(frozen=True)
class MAML(MetaLearner):
    """Minimises the query loss after adaptation, through the inner steps; ``first_order`` gives FOMAML.

    Reference: Finn, Abbeel and Levine (2017), arXiv:1703.03400.
    """

    def adapt(self, loss: BatchedLoss, meta: Parameters, x: Tensor, y: Tensor, steps: int) -> Parameters:
        stacked = loss.stacked(meta, len(x))
        return descend(loss, stacked, x, y, steps=steps, rates=self.step_size, first_order=self.first_order)

    def meta_gradient(self, loss: BatchedLoss, meta: Parameters, episodes: Episodes) -> tuple[Tensor, Parameters]:
        return query_gradient(self, loss, meta, episodes)
