"""The small MLP optimizer: a perceptron of a few units sees 28 features of each parameter and 11 of the step."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.learned.optimizers.rule import Parameters, State, UpdateRule, Weights

__all__ = ["DECAYS", "TIMESCALES", "MLPRule", "factored_axes", "step_features"]

DECAYS = (0.9, 0.99, 0.999)
"""Of the momenta, and of the factored second moments."""
TIMESCALES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1e3, 3e3, 1e4, 3e4, 1e5)
"""tau of the step features tanh(t / tau - 1)."""

_SECOND_DECAY = 0.999
_DENSE = 16  # features that differ from entry to entry
_SHARED = 6  # features that rows share, and as many that columns share
_FEATURES = _DENSE + 2 * _SHARED
_EPSILON = 1e-5  # of the normalisation by the rms
_ROOT_EPSILON = 1e-8  # under reciprocal roots


def factored_axes(shape: torch.Size) -> tuple[int, int] | None:
    """The two longest axes, ascending; None for fewer than two axes. Of equally long ones the later are taken."""
    if len(shape) < 2:
        return None
    first, second = sorted(range(len(shape)), key=lambda axis: (shape[axis], axis))[-2:]
    return min(first, second), max(first, second)


def step_features(step: Tensor) -> Tensor:
    """tanh(t / tau - 1) for every time scale: ``(11,)`` of a scalar t."""
    return torch.tanh(step / step.new_tensor(TIMESCALES) - 1.0)


def _scales(features: Tensor) -> Tensor:
    """The reciprocal root mean square of each feature ``(k, entries)`` over the tensor, ``(k,)``."""
    squares = torch.linalg.vector_norm(features, dim=1).square() / features.shape[1]
    return torch.rsqrt(squares + _EPSILON)


def _rsqrt(x: Tensor) -> Tensor:
    return torch.rsqrt(x + _ROOT_EPSILON)


@dataclass(frozen=True)
class MLPRule(UpdateRule):
    """theta - d exp(1e-3 m) 1e-3, with d and m the outputs of a ReLU perceptron for that entry.

    Features of an entry, each divided by its root mean square over the tensor: gradient; parameter; three momenta;
    second moment v; the momenta over sqrt(v); 1/sqrt(v); gradient, and momenta, over the factored estimate of the
    second moment; the factored row and column accumulators and their reciprocal roots. The factored second moments
    (decays .9, .99, .999) are those of Adafactor over the two longest axes; a tensor with fewer axes has full ones.
    The decays are fixed, not meta-learned.

    Attributes:
        hidden: units of each hidden layer.
        layers: hidden layers.

    Reference: Metz et al. (2020), arXiv:2009.11243; Metz et al. (2022), arXiv:2203.11860; Shazeer and Stern (2018),
        arXiv:1804.04235.
    """

    kind = "mlp"
    citation = "Metz et al. (2022), Practical tradeoffs between memory, compute and performance in learned optimizers, \
arXiv:2203.11860"
    hidden: int = 4
    layers: int = 2

    def __post_init__(self) -> None:
        if self.hidden < 1 or self.layers < 1:
            raise ArgumentError(f"hidden={self.hidden}, layers={self.layers}: expected at least 1.")

    def weights(self, generator: torch.Generator) -> Weights:
        """Normal with variance 1 / inputs, biases zero."""
        sizes = [_FEATURES + len(TIMESCALES), *[self.hidden] * self.layers, 2]
        weights: Weights = {}
        for i in range(self.layers + 1):
            weights[f"weight{i}"] = torch.randn(sizes[i + 1], sizes[i], generator=generator) / sizes[i] ** 0.5
            weights[f"bias{i}"] = torch.zeros(sizes[i + 1])
        return weights

    def init(self, params: Parameters) -> State:
        state: State = {}
        for name, value in params.items():
            axes, k = factored_axes(value.shape), len(DECAYS)
            shapes = [value.shape] * 2
            if axes is not None:  # rows: the mean over the later axis; columns: over the earlier
                shapes = [[n for i, n in enumerate(value.shape) if i != axis] for axis in reversed(axes)]
            state[name] = {
                "step": value.new_zeros(()),
                "momenta": value.new_zeros(k, *value.shape),
                "second": torch.zeros_like(value),
                "rows": value.new_zeros(k, *shapes[0]),
                "columns": value.new_zeros(k, *shapes[1]),
            }
        return state

    def step(self, weights: Weights, params: Parameters, grads: Parameters, state: State) -> tuple[Parameters, State]:
        new_params, new_state = {}, {}
        for name, value in params.items():
            cast = {key: weight.to(value.dtype) for key, weight in weights.items()}
            memory = _remember(grads[name], state[name])
            new_params[name] = value - self._change(cast, value, grads[name], memory, state[name]["step"])
            new_state[name] = memory
        return new_params, new_state

    def _change(self, weights: Weights, p: Tensor, g: Tensor, memory: dict[str, Tensor], step: Tensor) -> Tensor:
        dense, rows, columns = _features(p, g, memory)
        first = weights["weight0"]
        parts = first.split([_DENSE, _SHARED, _SHARED, len(TIMESCALES)], dim=1)
        # The first layer is linear: features are normalised by scaling its weights, and what rows, columns or all
        # entries share is multiplied once and then broadcast.
        constant = parts[3] @ step_features(step) + weights["bias0"]
        h = constant.reshape(-1, *[1] * p.ndim)
        for part, features in ((parts[2], columns), (parts[1], rows), (parts[0], dense)):  # the largest last
            flat = features.reshape(len(features), -1)
            h = h + ((part * _scales(flat)) @ flat).reshape(self.hidden, *features.shape[1:])
        h = h.reshape(self.hidden, -1)
        for i in range(1, self.layers + 1):
            h = torch.addmm(weights[f"bias{i}"][:, None], weights[f"weight{i}"], h.relu())
        return (h[0] * torch.exp(1e-3 * h[1]) * 1e-3).reshape(p.shape)


def _remember(grad: Tensor, memory: dict[str, Tensor]) -> dict[str, Tensor]:
    """Updates the accumulators with a gradient."""
    square, axes = grad.square(), factored_axes(grad.shape)

    def towards(old: Tensor, new: Tensor) -> Tensor:
        decay = grad.new_tensor(DECAYS).reshape(-1, *[1] * new.ndim)
        return decay * old + (1 - decay) * new

    return {
        "step": memory["step"] + 1,
        "momenta": towards(memory["momenta"], grad),
        "second": _SECOND_DECAY * memory["second"] + (1 - _SECOND_DECAY) * square,
        "rows": towards(memory["rows"], square if axes is None else square.mean(axes[1])),
        "columns": towards(memory["columns"], square if axes is None else square.mean(axes[0])),
    }


def _features(p: Tensor, g: Tensor, memory: dict[str, Tensor]) -> tuple[Tensor, Tensor, Tensor]:
    """Features: dense ``(16, *shape)``, and of rows and of columns ``(6, *shape)`` with an axis of 1."""
    momenta, second, rows, columns = (memory[key] for key in ("momenta", "second", "rows", "columns"))
    axes, root = factored_axes(p.shape), _rsqrt(second)
    if axes is None:
        factor = _rsqrt(rows)
    else:
        mean = rows.mean(1 + axes[0], keepdim=True)
        rows_factor = _rsqrt(rows / (mean + _ROOT_EPSILON)).unsqueeze(1 + axes[1])
        rows, columns = rows.unsqueeze(1 + axes[1]), columns.unsqueeze(1 + axes[0])
        factor = rows_factor * _rsqrt(columns)
    dense = torch.cat(
        [
            torch.stack([g, p]),
            momenta,
            second[None],
            momenta * root,
            root[None],
            g * factor,
            momenta * factor,
        ]
    )
    return dense, torch.cat([rows, _rsqrt(rows)]), torch.cat([columns, _rsqrt(columns)])
