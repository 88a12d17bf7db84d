"""What every update rule is, learned or hand-made: a pure function from gradients to new parameters."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import ClassVar

import torch
from torch import Tensor

__all__ = ["Parameters", "State", "UpdateRule", "Weights"]

Weights = dict[str, Tensor]
"""What is meta-learned (or tuned) of a rule, by name."""

Parameters = dict[str, Tensor]
"""The tensors that are optimised, by name; gradients have the same keys and shapes."""

State = dict[str, dict[str, Tensor]]
"""What a rule remembers of each parameter tensor, by its name. Tensors do not share memory."""


class UpdateRule(ABC):
    """Holds settings only. All three functions are pure, and ``init`` and ``step`` run under ``torch.func.vmap``.

    A tensor's update depends on that tensor, its gradient and its own state alone, so a rule applies to any set of
    tensors, and a ``torch.optim.Optimizer`` can keep the state of each apart.

    Attributes:
        kind: name of the rule in weight files.
        version: raised when the same weights would give other updates.
        citation: where the rule comes from.
    """

    kind: ClassVar[str]
    version: ClassVar[int] = 1
    citation: ClassVar[str] = ""

    @abstractmethod
    def weights(self, generator: torch.Generator) -> Weights:
        """Weights before any meta-training."""

    @abstractmethod
    def init(self, params: Parameters) -> State:
        """The state before the first step."""

    @abstractmethod
    def step(self, weights: Weights, params: Parameters, grads: Parameters, state: State) -> tuple[Parameters, State]:
        """New parameters and new state; nothing that is handed in is written to."""
