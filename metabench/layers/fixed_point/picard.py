"""Damped Picard iteration."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.fixed_point.solver import FixedPointSolver, Map, Take

__all__ = ["Picard"]


@dataclass(frozen=True)
class Picard(FixedPointSolver):
    """z <- z + damping (f(z) - z); converges when f is a contraction.

    Attributes:
        damping: step towards the image, in (0, 1]; 1 is plain iteration.
        compiled: run as one compiled loop where numba is installed, the map's form is known and ``damping`` is 1: equal
            up to rounding.
    """

    check_every: ClassVar[int] = 3

    damping: float = 1.0
    compiled: bool = False

    def __post_init__(self) -> None:
        if not 0 < self.damping <= 1:
            raise ArgumentError(f"damping={self.damping}: expected a number in (0, 1].")

    def init(self, z: Tensor) -> None:
        """Picard iteration has no memory."""

    def step(self, f: Map, z: Tensor, fz: Tensor, state: None) -> tuple[Tensor, None]:
        """One damped step."""
        return (fz if self.damping == 1.0 else torch.lerp(z, fz, self.damping)), None

    def select(self, state: None, take: Take) -> None:
        """Nothing to select."""
