"""Cells f(z, x): what a layer computes, apart from how it is solved."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn

from metabench.blocks.block import stacked_normal
from metabench.layers.fixed_point import Form, Known, Pullback

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

    @property
    def known(self) -> Known:
        """:meth:`apply` with its form."""
        return Known(self.apply, self.form)

    @abstractmethod
    def form(self, injection: Tensor) -> Form:
        """:meth:`apply` written out, for solvers that compile it."""

    @abstractmethod
    def linearise(self, z: Tensor, injection: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """The function (u, w) -> w + (df/dz)^T u at z, all ``(replicates, batch, width)``; without a graph."""


class MLPCell(Cell):
    """f(z, x) = tanh(Wz + Ux + b)."""

    def apply(self, z: Tensor, injection: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One affine map and a tanh."""
        return torch.tanh(torch.baddbmm(injection, z, self.W.mT))

    def form(self, injection: Tensor) -> Form:
        """That of ``apply``."""
        return Form("tanh", self.W.mT, injection)

    def linearise(self, z: Tensor, injection: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """(u, w) -> w + W^T (tanh' u)."""
        W = self.W.detach()
        slope = 1 - self.apply(z, injection).detach().square()
        return Pullback(W, slope)


class GatedCell(Cell):
    """f(z, x) = tanh(Wz + Ux + b) * 2 sigmoid(W'z + U'x + b').

    A convex gate as in a GRU would leave the equilibrium independent of the gate; a factor in (0, 2) does not. The
    factor is 1 + tanh((W'z + U'x + b') / 2), so that one tanh over both maps serves.
    """

    maps = 2

    def __init__(self, width: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__(width, generators)
        self.scale: Tensor
        scale = torch.tensor([1.0, 0.5]).repeat_interleave(width)
        self.register_buffer("scale", scale[:, None], persistent=False)

    def inject(self, x: Tensor) -> Tensor:
        """Ux + b and (U'x + b') / 2, ``(replicates, batch, 2 width)``."""
        return torch.baddbmm(self.b * self.scale.mT, x, (self.U * self.scale).mT)

    def _factors(self, z: Tensor, injection: Tensor) -> Tensor:
        """tanh(Wz + Ux + b), and the gate minus 1, ``(replicates, batch, 2, width)``; halving is exact."""
        return torch.tanh(torch.baddbmm(injection, z, (self.W * self.scale).mT)).unflatten(-1, (2, -1))

    def apply(self, z: Tensor, injection: Tensor) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Two affine maps in one product."""
        candidate, gate = self._factors(z, injection).unbind(-2)
        return torch.addcmul(candidate, candidate, gate)

    def form(self, injection: Tensor) -> Form:
        """That of ``apply``."""
        return Form("gated", (self.W * self.scale).mT, injection)

    def linearise(self, z: Tensor, injection: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        """(u, w) -> w + W^T (g tanh' u) + W'^T (t g' u), with the gate g and t = tanh."""
        W = self.W.detach()
        candidate, gate = self._factors(z, injection).detach().unbind(-2)
        by_candidate = (1 + gate) * (1 - candidate.square())
        by_gate = candidate * (1 - gate.square()) / 2
        return Pullback(W, torch.cat([by_candidate, by_gate], dim=-1))
