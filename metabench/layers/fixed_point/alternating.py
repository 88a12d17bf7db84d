"""Alternating Anderson-Picard iteration: a mixed step after every few plain ones."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.fixed_point.mixture import least_residual_mixture
from metabench.layers.fixed_point.solver import FixedPointSolver, Map, Take

__all__ = ["AlternatingAnderson"]


@dataclass
class _Window:
    images: list[Tensor] = field(default_factory=list)  # (..., dim), the oldest first
    residuals: list[Tensor] = field(default_factory=list)
    seen: int = 0  # iterates, those before the window included


@dataclass(frozen=True)
class AlternatingAnderson(FixedPointSolver):
    """Plain steps, every ``period``-th of them replaced by Anderson's mixture of the last images.

    It needs about as many evaluations as :class:`~metabench.layers.Anderson` and a ``period``-th of its bookkeeping,
    which on small states costs several evaluations a step.

    Attributes:
        memory: iterates mixed.
        period: steps from one mixture to the next; 1 is Anderson acceleration.
        delay: plain steps before the first mixture.
        ridge: Tikhonov term of the scaled least-squares problem; None takes 8 times the dtype's resolution.
        compiled: run as one compiled loop where numba is installed and the map's form is known: about twice as fast on
            a CPU, and equal up to rounding.

    Reference: Banerjee, Suryanarayana and Pask (2016), Chem. Phys. Lett. 647; Pratapa, Suryanarayana and Pask (2016),
        J. Comput. Phys. 306.
    """

    check_every: ClassVar[int] = 4

    memory: int = 5
    period: int = 4
    delay: int = 8
    ridge: float | None = None
    compiled: bool = False

    def __post_init__(self) -> None:
        if self.memory < 2:
            raise ArgumentError(f"memory={self.memory}: expected at least 2.")
        if self.period < 1:
            raise ArgumentError(f"period={self.period}: expected at least 1.")
        if self.delay < 0:
            raise ArgumentError(f"delay={self.delay}: expected at least 0.")
        if self.ridge is not None and not self.ridge >= 0:
            raise ArgumentError(f"ridge={self.ridge}: expected a number >= 0, or None.")

    def init(self, z: Tensor) -> _Window:
        """An empty window."""
        return _Window()

    def step(self, f: Map, z: Tensor, fz: Tensor, state: _Window) -> tuple[Tensor, _Window]:
        """A plain step, or the mixture where it is due."""
        state.seen += 1
        first = max(self.period, self.period * -(-(self.delay + 1) // self.period))  # the first mixture's step
        until_next = max(first - state.seen, -state.seen % self.period)
        if until_next < self.memory:
            state.images.append(fz)
            state.residuals.append(fz - z)
            del state.images[: -self.memory], state.residuals[: -self.memory]
        if until_next or len(state.images) < 2:
            return fz, state
        return self._mixture(fz, state), state

    def _mixture(self, fz: Tensor, state: _Window) -> Tensor:
        ridge = 8 * torch.finfo(fz.dtype).eps if self.ridge is None else self.ridge
        mixed = least_residual_mixture(state.images, state.residuals, ridge)
        if not math.isfinite(mixed.sum().item()):
            mixed = torch.where(torch.isfinite(mixed), mixed, fz)
        return mixed

    def select(self, state: _Window, take: Take) -> _Window:
        """The samples' windows."""
        return _Window([take(t) for t in state.images], [take(t) for t in state.residuals], state.seen)
