"""The small MLP optimizer: a perceptron of a few units sees 28 features of each parameter and 11 of the step."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.learned.optimizers.mlp_features import DENSE, SHARED, Features, fresh, look, remember
from metabench.learned.optimizers.rule import Parameters, State, UpdateRule, Weights

__all__ = ["TIMESCALES", "MLPRule", "step_features"]

TIMESCALES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5)
"""tau of the step features tanh(t / tau - 1)."""

_FEATURES = DENSE + 2 * SHARED
_LIMIT = 4.0  # of the exponent's size: an entry far from all that was seen in meta-training must not explode
_SMALL = 0.1  # factor on the random weights of a start from Adam
_ADAM = 6  # feature: the momentum of decay .9 over the root of the second moment
_CLOCKS = {2: 30.0, 3: 300.0}  # unit -> tau: 1 + tanh(t / tau - 1), from .24 to 2
_START_STEP = 0.02  # root mean square of the first steps, about
_START_FALL = (0.5, 0.7)  # of its logarithm, a unit of each clock


def step_features(step: Tensor) -> Tensor:
    """tanh(t / tau - 1) for every time scale: ``(..., 11)`` of t ``(..., 1)``, or ``(11,)`` of a scalar."""
    return torch.tanh(step / step.new_tensor(TIMESCALES) - 1.0)


@dataclass(frozen=True)
class MLPRule(UpdateRule):
    """theta - a d exp(b m), d and m the outputs of a ReLU perceptron for that entry; a and b are 1e-3 in the papers.

    Features of an entry, each divided by its root mean square over the tensor: gradient; parameter; three momenta;
    second moment v; the momenta over sqrt(v); 1/sqrt(v); gradient, and momenta, over the factored estimate of the
    second moment; the factored row and column accumulators and their reciprocal roots. The factored second moments
    (decays .9, .99, .999) are those of Adafactor over the two longest axes; a tensor with fewer axes has full ones.
    The decays are fixed, not meta-learned, and b m is kept between -4 and 4.

    Attributes:
        hidden: units of each hidden layer.
        layers: hidden layers.
        step_scale: a.
        exponent_scale: b.
        start: the weights before any meta-training: ``random``, or ``adam``: a step along Adam's direction, each
            tensor's divided by its root mean square, of a size that falls with the steps, and small random weights
            beside it.

    Reference: Metz et al. (2020), arXiv:2009.11243; Metz et al. (2022), arXiv:2203.11860; Shazeer and Stern (2018),
        arXiv:1804.04235.
    """

    kind = "mlp"
    citation = "Metz et al. (2022), Practical tradeoffs between memory, compute and performance in learned optimizers, \
arXiv:2203.11860"
    hidden: int = 4
    layers: int = 2
    step_scale: float = 1e-3
    exponent_scale: float = 1e-3
    start: Literal["random", "adam"] = "random"

    def __post_init__(self) -> None:
        if self.hidden < 1 or self.layers < 1:
            raise ArgumentError(f"hidden={self.hidden}, layers={self.layers}: expected at least 1.")
        if not (self.step_scale > 0 and self.exponent_scale > 0):
            raise ArgumentError(
                f"step_scale={self.step_scale}, exponent_scale={self.exponent_scale}: expected positive numbers."
            )
        if self.start not in ("random", "adam") or (self.start == "adam" and self.hidden < 4):
            raise ArgumentError(
                f"start={self.start!r}, hidden={self.hidden}: expected 'random', or 'adam' with 4 or more hidden units."
            )

    def weights(self, generator: torch.Generator) -> Weights:
        """Normal with variance 1 / inputs, biases zero, unless they start from Adam."""
        sizes = [_FEATURES + len(TIMESCALES), *[self.hidden] * self.layers, 2]
        weights: Weights = {}
        for i in range(self.layers + 1):
            weights[f"weight{i}"] = torch.randn(sizes[i + 1], sizes[i], generator=generator) / sizes[i] ** 0.5
            weights[f"bias{i}"] = torch.zeros(sizes[i + 1])
        return self._adam(weights) if self.start == "adam" else weights

    def _adam(self, weights: Weights) -> Weights:
        """Units 0 and 1 carry the direction and its negative, 2 and 3 are clocks, and all that was drawn is small."""
        weights = {name: _SMALL * value for name, value in weights.items()}
        first, last = weights["weight0"], weights[f"weight{self.layers}"]
        first[:2, _ADAM] += torch.tensor([1.0, -1.0])
        for unit, tau in _CLOCKS.items():
            first[unit, _FEATURES + TIMESCALES.index(tau)] += 1.0
            weights["bias0"][unit] += 1.0
        for i in range(1, self.layers):
            weights[f"weight{i}"][:4, :4] += torch.eye(4)
        last[0, :2] += torch.tensor([1.0, -1.0]) * _START_STEP / self.step_scale
        last[1, 2:4] -= torch.tensor(_START_FALL) / self.exponent_scale
        return weights

    def init(self, params: Parameters) -> State:
        return {name: fresh(value) for name, value in params.items()}

    def step(self, weights: Weights, params: Parameters, grads: Parameters, state: State) -> tuple[Parameters, State]:
        """All tensors, which are of one dtype, go through the perceptron in one batch."""
        values, slopes = list(params.values()), [grads[name] for name in params]
        weights = {key: weight.to(values[0].dtype) for key, weight in weights.items()}
        memory = remember(slopes, [state[name] for name in params])
        h = self._enter(weights, values, memory.steps, look(values, slopes, memory))
        for i in range(1, self.layers + 1):
            h = torch.addmm(weights[f"bias{i}"][:, None], weights[f"weight{i}"], h.relu())
        change = h[0] * torch.exp((self.exponent_scale * h[1]).clamp(-_LIMIT, _LIMIT)) * self.step_scale
        moves = change.split([value.numel() for value in values])
        moved = [value - move.reshape(value.shape) for value, move in zip(values, moves, strict=True)]
        return dict(zip(params, moved, strict=True)), dict(zip(params, memory.parts(), strict=True))

    def _enter(self, weights: Weights, values: list[Tensor], steps: Tensor, seen: Features) -> Tensor:
        """The first layer, ``(hidden, entries)``.

        It is linear: features are normalised by scaling its weights, and what rows, columns or all entries share is
        multiplied once and then broadcast.
        """
        dense, rows, columns, clocks = weights["weight0"].split([DENSE, SHARED, SHARED, len(TIMESCALES)], dim=1)
        constants = step_features(steps[:, None] - 1) @ clocks.mT + weights["bias0"]
        dense = (dense * seen.dense_scales[:, None]).unbind()
        rows = (rows * seen.row_scales[:, None]).unbind()
        columns = (columns * seen.column_scales[:, None]).unbind()
        entered = []
        for i, value in enumerate(values):
            h = constants[i].reshape(-1, *[1] * value.ndim)
            h = h + (columns[i] @ seen.columns[i].reshape(SHARED, -1)).reshape(-1, *seen.columns[i].shape[1:])
            h = h + (rows[i] @ seen.rows[i].reshape(SHARED, -1)).reshape(-1, *seen.rows[i].shape[1:])
            entered.append(h.reshape(self.hidden, -1) + dense[i] @ seen.dense[i])
        return torch.cat(entered, dim=1)
