"""One-dimensional parabolas: the instances of the toy-SGD benchmark."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.problems.problem import Parameters, Problem
from metabench.seeding import torch_generator

__all__ = ["Parabola"]


@dataclass(frozen=True)
class Parabola(Problem):
    """f(x) = a x^2 + b x + c with a ~ U(0, 10), b and c ~ U(-10, 10); x starts at 0; all in float64.

    Attributes:
        held_out: whether it is kept from meta-training.

    Reference: Eimer et al. (2021), DACBench, arXiv:2105.08541, toy-SGD. Its code takes the constant coefficient for the
        leading one when it computes the minimum; here the minimum is that of the function.
    """

    held_out: bool = False
    name = "parabola"

    def sample(self, seeds: Sequence[int]) -> Parameters:
        return {"x": torch.zeros(len(seeds), 1, dtype=torch.float64)}

    def batch(self, seeds: Sequence[int], step: int) -> Tensor:
        """Coefficients a, b, c ``(instances, 3)``: the same in every step."""
        draws = torch.stack(
            [torch.rand(3, generator=torch_generator("parabola", seed), dtype=torch.float64) for seed in seeds]
        )
        return torch.cat([10 * draws[:, :1], 20 * draws[:, 1:] - 10], dim=1)

    def loss(self, parameters: Parameters, batch: Tensor) -> Tensor:
        x, (a, b, c) = parameters["x"][:, 0], batch.unbind(1)
        return a * x.square() + b * x + c

    def minimum(self, seeds: Sequence[int]) -> Tensor:
        a, b, c = self.batch(seeds, 0).unbind(1)
        return c - b.square() / (4 * a)
