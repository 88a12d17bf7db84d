"""The losses of many problems at once, each with parameters of its own: by vmap, on a replicate axis, or in turn."""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.func import vmap

from metabench.errors import ArgumentError, DifferentiationError
from metabench.learned.optimizers.rule import Parameters
from metabench.problems import bind

__all__ = ["BatchedLoss", "Batching", "Criterion"]

_log = logging.getLogger(__name__)

Batching = Literal["auto", "vmap", "replicates", "loop"]
Criterion = Callable[[Tensor, Tensor], Tensor]


class BatchedLoss:
    """(parameters, x, y) -> the loss of each problem, differentiable in the parameters by ``torch.autograd``.

    Args:
        module: any module. Its parameters are used for their names only; buffers are shared by all problems.
        criterion: (prediction, target) of one problem -> scalar.
        batching: ``vmap``; ``replicates`` for a module whose parameters have a leading replicate axis and which maps
            ``(replicates, batch, ...)``, as ``metabench.spaces.Network``; ``loop`` for any module. ``auto`` takes vmap
            and goes over to the loop if a layer refuses it, as equilibria do.
    """

    def __init__(self, module: nn.Module, criterion: Criterion, batching: Batching = "auto") -> None:
        if batching not in ("auto", "vmap", "replicates", "loop"):
            raise ArgumentError(f"batching={batching!r}: expected 'auto', 'vmap', 'replicates' or 'loop'.")
        if not any(True for _ in module.parameters()):
            raise ArgumentError(f"{type(module).__name__} has no parameters; there is nothing to adapt.")
        self.module, self.criterion, self.batching = module, criterion, batching

    def __call__(self, parameters: Parameters, x: Tensor, y: Tensor) -> Tensor:
        """Losses ``(problems,)`` of parameters, inputs and targets that all have a leading problem axis."""
        return vmap(self.criterion)(self.predict(parameters, x), y)

    def predict(self, parameters: Parameters, x: Tensor) -> Tensor:
        """Predictions ``(problems, batch, ...)``."""
        if self.batching == "replicates":
            return self._one(parameters, x)
        if self.batching in ("auto", "vmap"):
            try:
                return vmap(self._one, randomness="different")(parameters, x)
            except DifferentiationError:
                if self.batching == "vmap":
                    raise
                self.batching = "loop"
                _log.info("a layer cannot be batched by vmap; the problems are taken in turn")
        rows = [{name: value[i] for name, value in parameters.items()} for i in range(len(x))]
        return torch.stack([self._one(row, x[i]) for i, row in enumerate(rows)])

    def _one(self, parameters: Parameters, x: Tensor) -> Tensor:
        result: Any = bind(self.module, parameters)(x)
        return result[0] if isinstance(result, tuple) else result  # networks of ours also return records of solves

    def stacked(self, parameters: Parameters, problems: int) -> Parameters:
        """The same parameters for every problem: views with a leading problem axis."""
        if self.batching == "replicates":
            return {name: value.expand(problems, *value.shape[1:]) for name, value in parameters.items()}
        return {name: value.expand(problems, *value.shape) for name, value in parameters.items()}
