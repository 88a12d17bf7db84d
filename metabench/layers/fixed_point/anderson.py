"""Anderson acceleration with a ridge that scales with the data."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.fixed_point.solver import FixedPointSolver, Map, Take

__all__ = ["Anderson"]


@dataclass
class _History:
    images: Tensor  # (memory, ..., dim)
    directions: Tensor  # (memory, ..., dim), residuals of unit length
    scales: Tensor  # (memory, ..., 1), the residuals' lengths
    gram: Tensor  # (memory, memory, ..., 1), products of the directions
    seen: int = 0  # iterates, those before the history included
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

    Reference: Anderson (1965); Walker and Ni (2011), SIAM J. Numer. Anal. 49(4).
    """

    memory: int = 5
    delay: int = 0
    ridge: float | None = None
    mixing: float = 1.0

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
        """Empty history for iterates like ``z``."""
        rows = (self.memory, *z.shape)
        scales = (self.memory, *z.shape[:-1], 1)
        gram = (self.memory, *scales)
        return _History(z.new_empty(rows), z.new_empty(rows), z.new_empty(scales), z.new_empty(gram))

    def step(self, f: Map, z: Tensor, fz: Tensor, state: _History) -> tuple[Tensor, _History]:
        """Records (z, f(z)) and returns the mixed iterate."""
        state.seen += 1
        if state.seen <= self.delay - self.memory + 1:
            return fz, state
        slot = state.filled % self.memory
        residual = fz - z
        scale = torch.linalg.vector_norm(residual, dim=-1, keepdim=True).clamp_min(torch.finfo(z.dtype).tiny)
        torch.div(residual, scale, out=state.directions[slot])
        state.images[slot], state.scales[slot] = fz, scale
        state.filled += 1
        n = min(state.filled, self.memory)
        products = torch.linalg.vecdot(state.directions[:n], state.directions[slot])[..., None]
        state.gram[slot, :n] = products
        state.gram[:n, slot] = products
        if n == 1 or state.seen <= self.delay:
            return (fz if self.mixing == 1.0 else torch.lerp(z, fz, self.mixing)), state
        ridge = 8 * torch.finfo(z.dtype).eps if self.ridge is None else self.ridge
        matrix = state.gram[:n, :n, ..., 0].permute(*range(2, z.ndim + 1), 0, 1).contiguous()
        matrix.diagonal(dim1=-2, dim2=-1).add_(ridge)
        inverse = scale / state.scales[:n]
        solved, _ = torch.linalg.solve_ex(matrix, inverse[..., 0].movedim(0, -1)[..., None])
        weights = solved.movedim(-2, 0) * inverse
        weights = weights / weights.sum(0)
        images = state.images[:n]
        if self.mixing < 1.0:
            images = images - (1 - self.mixing) * state.scales[:n] * state.directions[:n]
        mixed = torch.linalg.vecdot(weights, images, dim=0)
        return torch.where(torch.isfinite(mixed), mixed, fz), state

    def select(self, state: _History, take: Take) -> _History:
        """The samples' histories."""
        return replace(
            state,
            images=take(state.images),
            directions=take(state.directions),
            scales=take(state.scales),
            gram=take(state.gram),
        )
