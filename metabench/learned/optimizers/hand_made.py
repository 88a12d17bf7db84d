"""The optimizers that learned ones are compared with: SGD, momentum, RMSprop, Adam. Their one weight is the rate."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.learned.optimizers.rule import Parameters, State, UpdateRule, Weights

__all__ = ["SGD", "Adam", "Momentum", "RMSprop"]


class _HandMade(UpdateRule):
    """One tensor at a time; the weight ``rate`` is the learning rate, a scalar."""

    def weights(self, generator: torch.Generator) -> Weights:
        """A rate of 1e-3; there is nothing to draw."""
        return {"rate": torch.tensor(1e-3)}

    def step(self, weights: Weights, params: Parameters, grads: Parameters, state: State) -> tuple[Parameters, State]:
        new_params, new_state = {}, {}
        for name, value in params.items():
            change, new_state[name] = self._change(grads[name], state[name])
            new_params[name] = value - weights["rate"].to(value.dtype) * change
        return new_params, new_state

    @abstractmethod
    def _change(self, grad: Tensor, memory: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        """The step for a rate of 1, and the new memory."""


@dataclass(frozen=True)
class SGD(_HandMade):
    """theta - rate g."""

    kind = "sgd"
    citation = "Robbins and Monro (1951), A stochastic approximation method"

    def init(self, params: Parameters) -> State:
        return {name: {} for name in params}

    def _change(self, grad: Tensor, memory: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        return grad, {}


@dataclass(frozen=True)
class Momentum(_HandMade):
    """v <- decay v + g; theta - rate v.

    Attributes:
        decay: of the velocity.
    """

    kind = "momentum"
    citation = "Polyak (1964), Some methods of speeding up the convergence of iteration methods"
    decay: float = 0.9

    def init(self, params: Parameters) -> State:
        return {name: {"velocity": torch.zeros_like(value)} for name, value in params.items()}

    def _change(self, grad: Tensor, memory: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        velocity = self.decay * memory["velocity"] + grad
        return velocity, {"velocity": velocity}


@dataclass(frozen=True)
class RMSprop(_HandMade):
    """s <- decay s + (1 - decay) g^2; theta - rate g / (sqrt(s) + epsilon).

    Attributes:
        decay: of the second moment.
        epsilon: keeps the quotient finite.
    """

    kind = "rmsprop"
    citation = "Tieleman and Hinton (2012), Lecture 6.5: RMSprop"
    decay: float = 0.99
    epsilon: float = 1e-8

    def init(self, params: Parameters) -> State:
        return {name: {"second": torch.zeros_like(value)} for name, value in params.items()}

    def _change(self, grad: Tensor, memory: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        second = self.decay * memory["second"] + (1 - self.decay) * grad.square()
        return grad / (second.sqrt() + self.epsilon), {"second": second}


@dataclass(frozen=True)
class Adam(_HandMade):
    """Bias-corrected first moment over the root of the bias-corrected second.

    Attributes:
        first: decay of the first moment.
        second: decay of the second moment.
        epsilon: keeps the quotient finite.
    """

    kind = "adam"
    citation = "Kingma and Ba (2015), Adam: a method for stochastic optimization, arXiv:1412.6980"
    first: float = 0.9
    second: float = 0.999
    epsilon: float = 1e-8

    def init(self, params: Parameters) -> State:
        return {
            name: {"step": value.new_zeros(()), "mean": torch.zeros_like(value), "square": torch.zeros_like(value)}
            for name, value in params.items()
        }

    def _change(self, grad: Tensor, memory: dict[str, Tensor]) -> tuple[Tensor, dict[str, Tensor]]:
        step = memory["step"] + 1
        mean = self.first * memory["mean"] + (1 - self.first) * grad
        square = self.second * memory["square"] + (1 - self.second) * grad.square()
        root = (square / (1 - self.second**step)).sqrt()
        change = mean / (1 - self.first**step) / (root + self.epsilon)
        return change, {"step": step, "mean": mean, "square": square}
