"""Random least-squares problems."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.problems.problem import Parameters, Problem
from metabench.seeding import torch_generator

__all__ = ["Quadratic"]


@dataclass(frozen=True)
class Quadratic(Problem):
    """f(theta) = ||W theta - y||^2; W ``(dim, dim)``, y and the first theta ``(dim,)`` are standard normal.

    Attributes:
        dim: number of parameters.
        held_out: whether it is kept from meta-training.

    Reference: Andrychowicz et al. (2016), arXiv:1606.04474, section 3.1.
    """

    dim: int = 10
    held_out: bool = False

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ArgumentError(f"dim={self.dim}: expected at least 1.")

    @property
    def name(self) -> str:  # pyright: ignore[reportIncompatibleVariableOverride]
        return f"quadratic-{self.dim}"

    def sample(self, seeds: Sequence[int]) -> Parameters:
        draws = [torch.randn(self.dim, generator=torch_generator("quadratic start", seed)) for seed in seeds]
        return {"theta": torch.stack(draws)}

    def batch(self, seeds: Sequence[int], step: int) -> tuple[Tensor, Tensor]:
        """W ``(instances, dim, dim)`` and y ``(instances, dim)``: the same in every step."""
        generators = [torch_generator("quadratic", seed) for seed in seeds]
        draws = torch.stack([torch.randn(self.dim, self.dim + 1, generator=generator) for generator in generators])
        return draws[..., :-1], draws[..., -1]

    def loss(self, parameters: Parameters, batch: tuple[Tensor, Tensor]) -> Tensor:
        W, y = batch
        return ((W @ parameters["theta"][..., None])[..., 0] - y).square().sum(-1)

    def minimum(self, seeds: Sequence[int]) -> Tensor:
        """The least value of each instance, ``(instances,)``."""
        W, y = self.batch(seeds, 0)
        theta = torch.linalg.lstsq(W.double(), y.double()[..., None]).solution[..., 0]
        return self.loss({"theta": theta}, (W.double(), y.double())).to(y.dtype)
