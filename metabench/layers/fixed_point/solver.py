"""The interface of a fixed-point solver, and the loop that drives one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from metabench.layers.ledger import Ledger
from metabench.layers.record import SolveRecord
from metabench.layers.stopping import Tolerance

__all__ = ["FixedPointSolver", "iterate"]

Map = Callable[[Tensor], Tensor]


class FixedPointSolver(ABC):
    """Proposes iterates for z = f(z). Holds settings only; everything that changes is in its state."""

    @abstractmethod
    def init(self, z: Tensor) -> Any:
        """The state before the first step, for iterates like ``z`` of shape ``(..., dim)``."""

    @abstractmethod
    def step(self, z: Tensor, fz: Tensor, state: Any) -> tuple[Tensor, Any]:
        """The next iterate, from the present one and its image; shapes ``(..., dim)``."""


@torch.no_grad()
def iterate(f: Map, z: Tensor, solver: FixedPointSolver, stopping: Tolerance) -> tuple[Tensor, SolveRecord]:
    """Solves z = f(z) for every sample by itself: a finished sample is frozen, a non-finite one keeps its last iterate.

    Args:
        f: map of tensors ``(..., dim)`` to the same shape, acting on each sample separately.
        z: initial iterate, ``(..., dim)``.
        solver: proposes the iterates.
        stopping: per-sample tolerance and step limit.

    Returns:
        The value ``(..., dim)`` and the per-sample record.
    """
    ledger, state = Ledger(z, stopping), solver.init(z)
    for _ in range(stopping.max_steps):
        fz = f(z)
        if not ledger.enter(fz, fz - z):
            break
        proposal, state = solver.step(z, fz, state)
        z = torch.where(ledger.active[..., None], proposal, ledger.value)
    return ledger.value, ledger.record()
