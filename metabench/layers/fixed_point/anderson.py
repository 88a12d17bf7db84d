"""Anderson acceleration with a ridge that scales with the data."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.fixed_point.solver import FixedPointSolver

__all__ = ["Anderson"]


@dataclass
class _History:
    iterates: Tensor  # (memory, ..., dim)
    images: Tensor  # (memory, ..., dim)
    residuals: Tensor  # (memory, ..., dim), each of unit length
    scales: Tensor  # (memory, ...), the residuals' lengths
    gram: Tensor  # (..., memory, memory)
    filled: int = 0


@dataclass(frozen=True)
class Anderson(FixedPointSolver):
    """Mixes the last images so that the mixed residual is least, sample by sample.

    Residuals are scaled to unit length before the small least-squares problem is solved, and the ridge is added to
    that scaled problem: an absolute ridge would swamp the newest, smallest residuals and stall the iteration.

    Attributes:
        memory: iterates kept.
        ridge: Tikhonov term of the scaled problem; None takes 8 times the dtype's resolution.
        mixing: weight of the images against the iterates, in (0, 1].

    Reference: Anderson (1965); Walker and Ni (2011), SIAM J. Numer. Anal. 49(4).
    """

    memory: int = 5
    ridge: float | None = None
    mixing: float = 1.0

    def __post_init__(self) -> None:
        if self.memory < 2:
            raise ArgumentError(f"memory={self.memory}: expected at least 2.")
        if not 0 < self.mixing <= 1:
            raise ArgumentError(f"mixing={self.mixing}: expected a number in (0, 1].")

    def init(self, z: Tensor) -> _History:
        """Empty history for iterates like ``z``."""
        rows = (self.memory, *z.shape)
        return _History(
            iterates=z.new_empty(rows),
            images=z.new_empty(rows),
            residuals=z.new_zeros(rows),
            scales=z.new_ones(rows[:-1]),
            gram=torch.eye(self.memory, dtype=z.dtype, device=z.device).repeat(*z.shape[:-1], 1, 1),
        )

    def step(self, z: Tensor, fz: Tensor, state: _History) -> tuple[Tensor, _History]:
        """Records (z, f(z)) and returns the mixed iterate."""
        slot, tiny = state.filled % self.memory, torch.finfo(z.dtype).tiny
        residual = fz - z
        scale = torch.linalg.vector_norm(residual, dim=-1).clamp_min(tiny)
        state.iterates[slot], state.images[slot], state.scales[slot] = z, fz, scale
        state.residuals[slot] = residual / scale[..., None]
        state.filled += 1
        n = min(state.filled, self.memory)
        if n == 1:
            return z + self.mixing * residual, state
        products = (state.residuals[:n] * state.residuals[slot]).sum(-1).movedim(0, -1)
        state.gram[..., slot, :n] = products
        state.gram[..., :n, slot] = products
        ridge = 8 * torch.finfo(z.dtype).eps if self.ridge is None else self.ridge
        matrix = state.gram[..., :n, :n] + ridge * torch.eye(n, dtype=z.dtype, device=z.device)
        inverse_scale = (scale / state.scales[:n]).movedim(0, -1)
        solved, _ = torch.linalg.solve_ex(matrix, inverse_scale[..., None])
        weights = solved[..., 0] * inverse_scale
        weights = (weights / weights.sum(-1, keepdim=True)).movedim(-1, 0)[..., None]
        mixed = (weights * state.images[:n]).sum(0)
        if self.mixing < 1.0:
            mixed = self.mixing * mixed + (1 - self.mixing) * (weights * state.iterates[:n]).sum(0)
        return torch.where(torch.isfinite(mixed), mixed, fz), state
