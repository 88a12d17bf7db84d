"""Broyden's good method with limited memory."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.fixed_point.solver import FixedPointSolver, Map, Take

__all__ = ["Broyden"]


@dataclass
class _Updates:
    left: Tensor  # (memory, ..., dim)
    right: Tensor  # (memory, ..., dim)
    z: Tensor | None = None  # the last iterate and its residual, (..., dim)
    residual: Tensor | None = None
    filled: int = 0

    def apply(self, v: Tensor) -> Tensor:
        """(I + sum left right^T) v."""
        n = self.filled
        if n == 0:
            return v
        weights = torch.linalg.vecdot(self.right[:n], v)[..., None]
        return v + torch.linalg.vecdot(weights, self.left[:n], dim=0)

    def apply_transposed(self, v: Tensor) -> Tensor:
        """(I + sum right left^T) v."""
        n = self.filled
        if n == 0:
            return v
        weights = torch.linalg.vecdot(self.left[:n], v)[..., None]
        return v + torch.linalg.vecdot(weights, self.right[:n], dim=0)


@dataclass(frozen=True)
class Broyden(FixedPointSolver):
    """Rank-one updates of the inverse Jacobian of z - f(z), beginning from the identity.

    When the memory is full it is emptied.

    Attributes:
        memory: updates kept.
        compiled: run as one compiled loop where numba is installed and the map's form is known: equal up to rounding.

    Reference: Broyden (1965), Math. Comp. 19; Kelley (1995), Iterative methods, chapter 7.
    """

    check_every: ClassVar[int] = 2

    memory: int = 20
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.memory < 1:
            raise ArgumentError(f"memory={self.memory}: expected at least 1.")

    def init(self, z: Tensor) -> _Updates:
        """No updates yet."""
        rows = (self.memory, *z.shape)
        return _Updates(z.new_empty(rows), z.new_empty(rows))

    def step(self, f: Map, z: Tensor, fz: Tensor, state: _Updates) -> tuple[Tensor, _Updates]:
        """One quasi-Newton step."""
        residual = fz - z
        if state.z is not None and state.residual is not None:
            if state.filled == self.memory:
                state.filled = 0
            moved, changed = z - state.z, residual - state.residual
            # B approximates (I - df/dz)^-1 and has to send -changed to moved.
            image = state.apply(changed)
            right = state.apply_transposed(moved)
            product = torch.linalg.vecdot(moved, image)[..., None]
            least = torch.finfo(z.dtype).eps * torch.linalg.vecdot(moved, moved)[..., None]
            usable = product.abs() > least
            left = (moved + image) / torch.where(usable, -product, torch.ones_like(product))
            state.left[state.filled] = torch.where(usable, left, torch.zeros_like(left))
            state.right[state.filled] = right
            state.filled += 1
        state.z, state.residual = z, residual
        proposal = z + state.apply(residual)
        return torch.where(torch.isfinite(proposal), proposal, fz), state

    def select(self, state: _Updates, take: Take) -> _Updates:
        """The samples' updates."""
        z, residual = (None if t is None else take(t) for t in (state.z, state.residual))
        return replace(state, left=take(state.left), right=take(state.right), z=z, residual=residual)
