"""Distributions over actions, as functions of a policy's output: categorical, or a diagonal normal."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod

import gymnasium
import torch
from torch import Tensor
from torch.nn.functional import log_softmax, one_hot

from metabench.errors import ArgumentError

__all__ = ["ActionKind", "Categorical", "Normal", "action_kind"]


class ActionKind(ABC):
    """How actions are drawn, scored and shown to a network.

    Attributes:
        outputs: numbers a policy gives for each action.
        features: dimension of an action as a network's input.
        learns_scale: whether the policy has a learned log standard deviation of this dimension as well.
    """

    outputs: int
    features: int
    learns_scale: bool

    @abstractmethod
    def draw(self, outputs: Tensor, log_scale: Tensor | None, generator: torch.Generator) -> Tensor:
        """One action for each row of outputs ``(..., outputs)``."""

    @abstractmethod
    def mode(self, outputs: Tensor) -> Tensor:
        """The likeliest action."""

    @abstractmethod
    def log_prob(self, outputs: Tensor, log_scale: Tensor | None, action: Tensor) -> Tensor:
        """Log-probability (density) ``(...)`` in nats."""

    @abstractmethod
    def entropy(self, outputs: Tensor, log_scale: Tensor | None) -> Tensor:
        """Entropy ``(...)`` in nats."""

    @abstractmethod
    def encode(self, action: Tensor) -> Tensor:
        """The action as a network's input ``(..., features)``."""


class Categorical(ActionKind):
    """``n`` actions; outputs are logits, actions int64 ``(...)``."""

    learns_scale = False

    def __init__(self, n: int) -> None:
        self.outputs = self.features = n

    def draw(self, outputs: Tensor, log_scale: Tensor | None, generator: torch.Generator) -> Tensor:
        # An exponential race: argmax of p / e is distributed as p. Faster than torch.multinomial.
        race = torch.empty_like(outputs).exponential_(generator=generator)
        return (outputs.softmax(-1) / race).argmax(-1)

    def mode(self, outputs: Tensor) -> Tensor:
        return outputs.argmax(-1)

    def log_prob(self, outputs: Tensor, log_scale: Tensor | None, action: Tensor) -> Tensor:
        return log_softmax(outputs, -1).gather(-1, action[..., None])[..., 0]

    def entropy(self, outputs: Tensor, log_scale: Tensor | None) -> Tensor:
        logs = log_softmax(outputs, -1)
        return -(logs.exp() * logs).sum(-1)

    def encode(self, action: Tensor) -> Tensor:
        return one_hot(action, self.features).float()


class Normal(ActionKind):
    """``n`` independent normals; outputs are means, actions float32 ``(..., n)``; the environment clips them."""

    learns_scale = True

    def __init__(self, n: int) -> None:
        self.outputs = self.features = n

    def draw(self, outputs: Tensor, log_scale: Tensor | None, generator: torch.Generator) -> Tensor:
        noise = torch.empty_like(outputs).normal_(generator=generator)
        return outputs + noise * _scale(log_scale).exp()

    def mode(self, outputs: Tensor) -> Tensor:
        return outputs

    def log_prob(self, outputs: Tensor, log_scale: Tensor | None, action: Tensor) -> Tensor:
        log_scale = _scale(log_scale)
        squares = ((action - outputs) * (-log_scale).exp()).square()
        return -(0.5 * squares + log_scale + 0.5 * math.log(2 * math.pi)).sum(-1)

    def entropy(self, outputs: Tensor, log_scale: Tensor | None) -> Tensor:
        total = (_scale(log_scale) + 0.5 * math.log(2 * math.pi * math.e)).sum(-1)
        return total.expand(outputs.shape[:-1])

    def encode(self, action: Tensor) -> Tensor:
        return action


def _scale(log_scale: Tensor | None) -> Tensor:
    if log_scale is None:
        raise ArgumentError("a normal distribution needs a log standard deviation; got None.")
    return log_scale


def action_kind(space: gymnasium.Space) -> ActionKind:
    """The distribution for an action space.

    Raises:
        ArgumentError: if the space is neither ``Discrete`` nor a one-dimensional ``Box``.
    """
    if isinstance(space, gymnasium.spaces.Discrete):
        return Categorical(int(space.n))
    if isinstance(space, gymnasium.spaces.Box) and len(space.shape) == 1:
        return Normal(space.shape[0])
    raise ArgumentError(f"action space {space}; expected Discrete or a one-dimensional Box.")
