"""ANIL: as MAML, but only the head adapts."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn

from metabench.errors import ArgumentError
from metabench.learned.adaptation.losses import BatchedLoss
from metabench.learned.adaptation.meta_learner import MetaLearner, descend, query_gradient
from metabench.learned.optimizers.rule import Parameters
from metabench.problems.few_shot import Episodes

__all__ = ["ANIL", "head_of"]


def head_of(module: nn.Module) -> tuple[str, ...]:
    """Names of the parameters of the last submodule that has some of its own; a ``head_...`` of ours goes before."""
    own = tuple(name for name, _ in module.named_parameters(recurse=False) if name.startswith("head"))
    if own:
        return own
    last = ()
    for prefix, part in module.named_modules():
        names = tuple(f"{prefix}.{name}" if prefix else name for name, _ in part.named_parameters(recurse=False))
        last = names or last
    return last


@dataclass(frozen=True)
class ANIL(MetaLearner):
    """Almost no inner loop: the body is meta-learned and stays, the head is adapted.

    Attributes:
        head: names of the parameters that adapt; those of the last layer if empty.

    Reference: Raghu, Raghu, Bengio and Vinyals (2020), arXiv:1909.09157.
    """

    head: tuple[str, ...] = ()

    def adapt(self, loss: BatchedLoss, meta: Parameters, x: Tensor, y: Tensor, steps: int) -> Parameters:
        head = self.head or head_of(loss.module)
        unknown = [name for name in head if name not in meta]
        if unknown or not head:
            raise ArgumentError(f"head={head}: no parameter {unknown or head}; the module has {', '.join(meta)}.")
        return descend(
            loss,
            loss.stacked(meta, len(x)),
            x,
            y,
            steps=steps,
            rates=self.step_size,
            first_order=self.first_order,
            adapted=head,
        )

    def meta_gradient(self, loss: BatchedLoss, meta: Parameters, episodes: Episodes) -> tuple[Tensor, Parameters]:
        return query_gradient(self, loss, meta, episodes)
