"""Sinusoid regression: y = A sin(x - phase), a new amplitude and phase for each problem."""

from __future__ import annotations

import math

import torch

from metabench.errors import ArgumentError
from metabench.problems.few_shot.episodes import Episodes, EpisodeSource, Split

__all__ = ["Sinusoids"]


class Sinusoids(EpisodeSource):
    """A ~ U(0.1, 5), phase ~ U(0, pi), x ~ U(-5, 5); the splits are one distribution.

    Args:
        amplitude: range of A.
        phase: range of the phase, in radians.
        x: range of the inputs.

    Reference: Finn, Abbeel and Levine (2017), arXiv:1703.03400, section 5.1.
    """

    inputs = 1
    outputs = 1

    def __init__(
        self,
        amplitude: tuple[float, float] = (0.1, 5.0),
        phase: tuple[float, float] = (0.0, math.pi),
        x: tuple[float, float] = (-5.0, 5.0),
    ) -> None:
        for name, bounds in (("amplitude", amplitude), ("phase", phase), ("x", x)):
            if len(bounds) != 2 or not bounds[0] <= bounds[1]:
                raise ArgumentError(f"{name}={bounds}: expected a lower and an upper bound.")
        self.amplitude, self.phase, self.x = tuple(amplitude), tuple(phase), tuple(x)

    def sample(self, problems: int, support: int, query: int, split: Split, generator: torch.Generator) -> Episodes:
        def uniform(bounds: tuple[float, ...], *shape: int) -> torch.Tensor:
            return bounds[0] + (bounds[1] - bounds[0]) * torch.rand(*shape, generator=generator)

        amplitude, phase = (uniform(bounds, problems, 1, 1) for bounds in (self.amplitude, self.phase))
        x = uniform(self.x, problems, support + query, 1)
        y = amplitude * torch.sin(x - phase)
        return Episodes(x[:, :support], y[:, :support], x[:, support:], y[:, support:])
