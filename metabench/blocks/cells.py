"""Cells f(z, x): what a layer computes, apart from how it is solved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metabench.blocks.block import stacked_normal

__all__ = ["Cell", "GatedCell", "MLPCell"]

RECURRENT_SCALE = 0.5  # spectral radius of W at initialisation: equilibria exist and are found quickly


class Cell(nn.Module, ABC):
    """f(z, x) on ``(replicates, batch, width)``, split so that the part that depends on x alone is computed once.

    The parameters are ``W`` and ``U`` ``(replicates, k width, width)`` and ``b`` ``(replicates, 1, k width)`` with k
    affine maps stacked (k = 1 for the MLP, 2 for the gated cell).
    """

    maps = 1

    def __init__(self, width: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()
        self.W = stacked_normal((self.maps * width, width), RECURRENT_SCALE / width**0.5, generators)
        self.U = stacked_normal((self.maps * width, width), 1 / width**0.5, generators)
        self.b = nn.Parameter(torch.zeros(len(generators), 1, self.maps * width))

    def inject(self, x: Tensor) -> Tensor:
        """Ux + b, ``(replicates, batch, k width)``."""
        return torch.baddbmm(self.b, x, self.U.mT)

    @abstractmethod
    def apply(self, z: Tensor, injection: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """f(z, x), ``(replicates, batch, width)``, given :meth:`inject` of x."""


class MLPCell(Cell):
    """f(z, x) = tanh(Wz + Ux + b)."""

    def apply(self, z: Tensor, injection: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One affine map and a tanh."""
        return torch.tanh(torch.baddbmm(injection, z, self.W.mT))


class GatedCell(Cell):
    """f(z, x) = tanh(Wz + Ux + b) * 2 sigmoid(W'z + U'x + b').

    A convex gate as in a GRU would leave the equilibrium independent of the gate; a factor in (0, 2) does not.
    """

    maps = 2

    def apply(self, z: Tensor, injection: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Two affine maps in one product."""
        candidate, gate = torch.baddbmm(injection, z, self.W.mT).chunk(2, dim=-1)
        return torch.tanh(candidate) * (2 * torch.sigmoid(gate))
