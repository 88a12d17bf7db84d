"""learn2learn's MAML and Meta-SGD behind the interface of our meta-learners, for parity, timing and our tasks."""

from __future__ import annotations

import copy
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from metabench.errors import ArgumentError
from metabench.learned import learn2learn
from metabench.learned.adaptation.losses import BatchedLoss
from metabench.learned.adaptation.meta_learner import MetaLearner
from metabench.learned.adaptation.meta_sgd import RATE
from metabench.learned.optimizers.rule import Parameters
from metabench.problems.few_shot import Episodes

__all__ = ["Learn2LearnMAML", "Learn2LearnMetaSGD"]


@dataclass(frozen=True)
class Learn2LearnMAML(MetaLearner):
    """learn2learn's MAML: the problems are adapted one after the other on clones of the module.

    Raises:
        OptionalDependencyError: saying how to get learn2learn, if it is not installed.

    Reference: Arnold et al. (2020), arXiv:2008.12284.
    """

    algorithm = "MAML"

    def __post_init__(self) -> None:
        super().__post_init__()
        learn2learn.load()

    def _wrapped(self, loss: BatchedLoss, meta: Parameters) -> tuple[nn.Module, Any]:
        """A module with the meta-parameters, and learn2learn's wrapper around it."""
        module = copy.deepcopy(loss.module)
        with torch.no_grad():
            for name, value in module.named_parameters():
                value.copy_(meta[name])
        algorithm = getattr(learn2learn.load().algorithms, self.algorithm)
        return module, algorithm(module, lr=self.step_size, first_order=self.first_order)

    def _adapted(self, loss: BatchedLoss, wrapper: Any, x: Tensor, y: Tensor, steps: int) -> Any:
        clone = wrapper.clone()
        for _ in range(steps):
            clone.adapt(_loss(loss, clone, x, y))
        return clone

    @torch.enable_grad()
    def adapt(self, loss: BatchedLoss, meta: Parameters, x: Tensor, y: Tensor, steps: int) -> Parameters:
        _, wrapper = self._wrapped(loss, meta)
        rows = [
            {n: v.detach() for n, v in self._adapted(loss, wrapper, x[i], y[i], steps).module.named_parameters()}
            for i in range(len(x))
        ]
        join = torch.cat if loss.batching == "replicates" else torch.stack
        return {name: join([row[name] for row in rows]) for name in rows[0]}

    @torch.enable_grad()
    def meta_gradient(self, loss: BatchedLoss, meta: Parameters, episodes: Episodes) -> tuple[Tensor, Parameters]:
        module, wrapper = self._wrapped(loss, meta)
        total = torch.zeros((), dtype=episodes.query_x.dtype)
        for x, y, query_x, query_y in zip(*episodes, strict=True):
            total = total + _loss(loss, self._adapted(loss, wrapper, x, y, self.steps), query_x, query_y)
        mean = total / len(episodes.query_x)
        mean.backward()
        return mean.detach(), self._slopes(module, wrapper)

    def _slopes(self, module: nn.Module, wrapper: Any) -> Parameters:
        return {n: torch.zeros_like(v) if v.grad is None else v.grad for n, v in module.named_parameters()}


@dataclass(frozen=True)
class Learn2LearnMetaSGD(Learn2LearnMAML):
    """learn2learn's Meta-SGD."""

    algorithm = "MetaSGD"

    def initial(self, loss: BatchedLoss) -> Parameters:
        start = super().initial(loss)
        return start | {RATE + name: torch.full_like(value, self.step_size) for name, value in start.items()}

    def _wrapped(self, loss: BatchedLoss, meta: Parameters) -> tuple[nn.Module, Any]:
        module, wrapper = super()._wrapped(loss, meta)
        names = [name for name, _ in module.named_parameters()]
        if len(names) != len(wrapper.lrs):
            raise ArgumentError("learn2learn keeps another number of rates than the module has parameters.")
        with torch.no_grad():
            for name, rate in zip(names, wrapper.lrs, strict=True):
                rate.copy_(meta[RATE + name])
        return module, wrapper

    def _slopes(self, module: nn.Module, wrapper: Any) -> Parameters:
        names = [name for name, _ in module.named_parameters()]
        rates = {RATE + name: rate.grad for name, rate in zip(names, wrapper.lrs, strict=True)}
        return super()._slopes(module, wrapper) | rates


def _loss(loss: BatchedLoss, module: Any, x: Tensor, y: Tensor) -> Tensor:
    """The loss of one problem."""
    if loss.batching == "replicates":
        output = module(x[None])
        return loss.criterion((output[0] if isinstance(output, tuple) else output)[0], y)
    output = module(x)
    return loss.criterion(output[0] if isinstance(output, tuple) else output, y)
