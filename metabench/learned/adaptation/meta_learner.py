"""What MAML, ANIL, Meta-SGD and Reptile share: inner gradient steps, all problems of a meta-batch at once."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.learned.adaptation.losses import BatchedLoss
from metabench.learned.optimizers.rule import Parameters
from metabench.problems.few_shot import Episodes

__all__ = ["MetaLearner", "descend", "query_gradient"]


@dataclass(frozen=True)
class MetaLearner(ABC):
    """An initialisation (and more) that a few gradient steps adapt. Settings only; what is learned is handed around.

    Attributes:
        step_size: of the inner steps.
        steps: inner steps in meta-training.
        first_order: leave out the derivative of the inner gradients.
    """

    step_size: float = 0.01
    steps: int = 1
    first_order: bool = False

    def __post_init__(self) -> None:
        if not self.step_size > 0 or self.steps < 1:
            raise ArgumentError(f"step_size={self.step_size}, steps={self.steps}: expected a positive size and count.")

    def initial(self, loss: BatchedLoss) -> Parameters:
        """The meta-parameters before meta-training: the module's parameters, copied."""
        return {name: value.detach().clone() for name, value in loss.module.named_parameters()}

    @abstractmethod
    def adapt(self, loss: BatchedLoss, meta: Parameters, x: Tensor, y: Tensor, steps: int) -> Parameters:
        """Each problem's parameters after ``steps`` inner steps, ``(problems, ...)``, with a graph to ``meta``."""

    @abstractmethod
    def meta_gradient(self, loss: BatchedLoss, meta: Parameters, episodes: Episodes) -> tuple[Tensor, Parameters]:
        """The mean loss of a meta-batch, and the direction to descend along in the meta-parameters."""


def descend(
    loss: BatchedLoss,
    parameters: Parameters,
    x: Tensor,
    y: Tensor,
    *,
    steps: int,
    rates: Parameters | float,
    first_order: bool,
    adapted: Sequence[str] | None = None,
) -> Parameters:
    """Gradient steps of every problem on its own data.

    Args:
        loss: the losses of the problems.
        parameters: ``(problems, ...)`` each.
        x: inputs ``(problems, samples, ...)``.
        y: targets ``(problems, samples, ...)``.
        steps: how many.
        rates: one step size, or one of each entry, by name.
        first_order: treat the gradients as constants.
        adapted: names that move; all if left out.

    Returns:
        The moved parameters, with a graph to those handed in.

    Raises:
        DifferentiationError: if a layer has no second derivative and ``first_order`` is false.
    """
    names = list(parameters) if adapted is None else list(adapted)
    second_order = torch.is_grad_enabled() and not first_order
    for _ in range(steps):
        moving = [parameters[name] for name in names]
        # Outside meta-training no graph grows from step to step.
        keep = torch.is_grad_enabled()
        moving = [v if keep and v.requires_grad else v.detach().requires_grad_() for v in moving]
        with torch.enable_grad():
            total = loss({**parameters, **dict(zip(names, moving, strict=True))}, x, y).sum()
            slopes = torch.autograd.grad(total, moving, create_graph=second_order, materialize_grads=True)
        moved = {
            name: value - (rates[name] if isinstance(rates, dict) else rates) * slope
            for name, value, slope in zip(names, moving, slopes, strict=True)
        }
        parameters = {**parameters, **moved}
    return parameters


def query_gradient(
    learner: MetaLearner, loss: BatchedLoss, meta: Parameters, episodes: Episodes
) -> tuple[Tensor, Parameters]:
    """The mean query loss after adaptation, and its gradient in the meta-parameters."""
    leaves = {name: value.detach().requires_grad_() for name, value in meta.items()}
    with torch.enable_grad():
        adapted = learner.adapt(loss, leaves, episodes.support_x, episodes.support_y, learner.steps)
        mean = loss(adapted, episodes.query_x, episodes.query_y).mean()
        slopes = torch.autograd.grad(mean, list(leaves.values()), materialize_grads=True)
    return mean.detach(), dict(zip(leaves, slopes, strict=True))
