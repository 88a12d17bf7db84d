"""Anderson acceleration with a ridge that scales with the data."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.fixed_point.solver import FixedPointSolver, Map, Take

__all__ = ["Anderson"]


@dataclass
class _Rows:
    images: Tensor  # (memory, ..., dim)
    directions: Tensor  # (memory, ..., dim), residuals of unit length
    scales: Tensor  # (memory, ..., 1), the residuals' lengths
    gram: Tensor  # (memory, memory, ..., 1), products of the directions

    @staticmethod
    def like(z: Tensor, memory: int) -> _Rows:
        rows, scales = (memory, *z.shape), (memory, *z.shape[:-1], 1)
        return _Rows(z.new_empty(rows), z.new_empty(rows), z.new_empty(scales), z.new_empty((memory, *scales)))

    def record(self, slot: int, n: int, fz: Tensor, residual: Tensor, scale: Tensor) -> None:
        """Enters an iterate; ``n`` rows are in use."""
        torch.div(residual, scale, out=self.directions[slot])
        self.images[slot], self.scales[slot] = fz, scale
        products = torch.linalg.vecdot(self.directions[:n], self.directions[slot])[..., None]
        self.gram[slot, :n] = products
        self.gram[:n, slot] = products


@dataclass
class _History:
    rows: _Rows | None = None  # made when the first iterate is recorded
    seen: int = 0  # iterates, those before the first recorded one included
    filled: int = 0


@dataclass(frozen=True)
class Anderson(FixedPointSolver):
    """Mixes the last images so that the mixed residual is least, sample by sample.

    Residuals are scaled to unit length before the small least-squares problem is solved, and the ridge is added to
    that scaled problem: an absolute ridge would swamp the newest, smallest residuals and stall the iteration.

    Attributes:
        memory: iterates kept.
        delay: plain steps before the first mixed one. Where the map contracts well they cost a third of a mixed one.
        ridge: Tikhonov term of the scaled problem; None takes 8 times the dtype's resolution.
        mixing: weight of the images against the iterates, in (0, 1].
        compiled: run as one compiled loop where numba is installed, the map's form is known and ``mixing`` is 1: equal
            up to rounding.

    Reference: Anderson (1965); Walker and Ni (2011), SIAM J. Numer. Anal. 49(4).
    """

    check_every: ClassVar[int] = 2

    memory: int = 5
    delay: int = 0
    ridge: float | None = None
    mixing: float = 1.0
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.memory < 2:
            raise ArgumentError(f"memory={self.memory}: expected at least 2.")
        if self.delay < 0:
            raise ArgumentError(f"delay={self.delay}: expected at least 0.")
        if not 0 < self.mixing <= 1:
            raise ArgumentError(f"mixing={self.mixing}: expected a number in (0, 1].")
        if self.ridge is not None and not self.ridge >= 0:
            raise ArgumentError(f"ridge={self.ridge}: expected a number >= 0, or None.")

    def init(self, z: Tensor) -> _History:
        """Empty history."""
        return _History()

    def step(self, f: Map, z: Tensor, fz: Tensor, state: _History) -> tuple[Tensor, _History]:
        """Records (z, f(z)) and returns the mixed iterate."""
        state.seen += 1
        if state.seen <= self.delay - self.memory + 1:
            return fz, state
        rows = state.rows = state.rows or _Rows.like(z, self.memory)
        residual = fz - z
        scale = torch.linalg.vector_norm(residual, dim=-1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny)
        slot, state.filled = state.filled % self.memory, state.filled + 1
        n = min(state.filled, self.memory)
        rows.record(slot, n, fz, residual, scale)
        if n == 1 or state.seen <= self.delay:
            return (fz if self.mixing == 1.0 else torch.lerp(z, fz, self.mixing)), state
        ridge = 8 * torch.finfo(z.dtype).eps if self.ridge is None else self.ridge
        matrix = rows.gram[:n, :n, ..., 0].permute(*range(2, z.ndim + 1), 0, 1).contiguous()
        matrix.diagonal(dim1=-2, dim2=-1).add_(ridge)
        inverse = scale / rows.scales[:n]
        solved, _ = torch.linalg.solve_ex(matrix, inverse[..., 0].movedim(0, -1)[..., None])
        weights = solved.movedim(-2, 0) * inverse
        weights = weights / weights.sum(0)
        images = rows.images[:n]
        if self.mixing < 1.0:
            images = images - (1 - self.mixing) * rows.scales[:n] * rows.directions[:n]
        mixed = torch.linalg.vecdot(weights, images, dim=0)
        if not math.isfinite(mixed.sum().item()):
            mixed = torch.where(torch.isfinite(mixed), mixed, fz)
        return mixed, state

    def select(self, state: _History, take: Take) -> _History:
        """The samples' histories."""
        if state.rows is None:
            return state
        rows = state.rows
        fewer = _Rows(take(rows.images), take(rows.directions), take(rows.scales), take(rows.gram))
        return replace(state, rows=fewer)
