"""The coordinate-wise LSTM optimizer: every coordinate has the same small recurrent network and a state of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.learned.optimizers.rule import Parameters, State, UpdateRule, Weights

__all__ = ["LSTMRule", "log_and_sign"]

_INPUTS = 2


def log_and_sign(grad: Tensor, k: float) -> Tensor:
    """Gradient of any magnitude as two inputs of order one.

    Args:
        grad: any shape.
        k: (log|g| / k, sign g) where |g| >= exp(-k), else (-1, exp(k) g).

    Returns:
        ``(*grad.shape, 2)``.

    Reference: Andrychowicz et al. (2016), arXiv:1606.04474, appendix A.
    """
    size, tiny = grad.abs(), math.exp(-k)
    large = size >= tiny
    logarithm = torch.where(large, size.clamp_min(tiny).log() / k, -1.0)
    return torch.stack([logarithm, torch.where(large, grad.sign(), math.exp(k) * grad)], dim=-1)


@dataclass(frozen=True)
class LSTMRule(UpdateRule):
    """theta + scale * linear(LSTM(log_and_sign(g))), two layers.

    Attributes:
        hidden: units of each of the two layers.
        k: of :func:`log_and_sign`.
        scale: of the output.

    Reference: Andrychowicz et al. (2016), arXiv:1606.04474.
    """

    kind = "lstm"
    citation = "Andrychowicz et al. (2016), Learning to learn by gradient descent by gradient descent, arXiv:1606.04474"
    hidden: int = 20
    k: float = 5.0
    scale: float = 0.01

    def __post_init__(self) -> None:
        if self.hidden < 1 or not self.k > 0 or not self.scale > 0:
            raise ArgumentError(f"hidden={self.hidden}, k={self.k}, scale={self.scale}: expected positive numbers.")

    def weights(self, generator: torch.Generator) -> Weights:
        """Uniform in +-1/sqrt(hidden), the forget gates' bias 1."""
        h, bound = self.hidden, self.hidden**-0.5

        def uniform(*shape: int) -> Tensor:
            return (2 * torch.rand(*shape, generator=generator) - 1) * bound

        bias = torch.zeros(4 * h)
        bias[h : 2 * h] = 1.0
        return {
            "input1": uniform(_INPUTS, 4 * h),
            "recurrent1": uniform(h, 4 * h),
            "bias1": bias,
            "input2": uniform(h, 4 * h),
            "recurrent2": uniform(h, 4 * h),
            "bias2": bias.clone(),
            "output": uniform(h, 1),
            "output_bias": torch.zeros(1),
        }

    def init(self, params: Parameters) -> State:
        names = ("output1", "cell1", "output2", "cell2")
        return {n: {part: p.new_zeros(p.numel(), self.hidden) for part in names} for n, p in params.items()}

    def step(self, weights: Weights, params: Parameters, grads: Parameters, state: State) -> tuple[Parameters, State]:
        """All coordinates of all tensors go through the network in one batch."""
        dtype = next(iter(params.values())).dtype
        weights = {name: value.to(dtype) for name, value in weights.items()}
        sizes = [value.numel() for value in params.values()]
        joined = {part: torch.cat([state[n][part] for n in params]) for part in next(iter(state.values()))}
        x = log_and_sign(torch.cat([grads[n].reshape(-1) for n in params]), self.k)
        new: dict[str, Tensor] = {}
        for layer in ("1", "2"):
            affine = x @ weights[f"input{layer}"] + joined[f"output{layer}"] @ weights[f"recurrent{layer}"]
            entry, forget, candidate, out = (affine + weights[f"bias{layer}"]).chunk(4, dim=-1)
            cell = forget.sigmoid() * joined[f"cell{layer}"] + entry.sigmoid() * candidate.tanh()
            x = out.sigmoid() * cell.tanh()
            new[f"output{layer}"], new[f"cell{layer}"] = x, cell
        change = (self.scale * (x @ weights["output"] + weights["output_bias"])).squeeze(-1)
        parts = {part: value.split(sizes) for part, value in new.items()}
        new_params, new_state = {}, {}
        for i, ((name, value), piece) in enumerate(zip(params.items(), change.split(sizes), strict=True)):
            new_params[name] = value + piece.reshape(value.shape)
            new_state[name] = {part: pieces[i].clone() for part, pieces in parts.items()}
        return new_params, new_state
