"""The interface of a fixed-point solver, and the loop that drives one."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from metabench.layers.record import SolveRecord, SolveStatus
from metabench.layers.stopping import Tolerance, root_mean_square

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
    shape = z.shape[:-1]
    active = torch.ones(shape, dtype=torch.bool, device=z.device)
    status = torch.full(shape, SolveStatus.MAX_STEPS.code, dtype=torch.int8, device=z.device)
    nfe = torch.zeros(shape, dtype=torch.int32, device=z.device)
    residual = torch.zeros(shape, dtype=z.dtype, device=z.device)
    state = solver.init(z)
    value = z
    for _ in range(stopping.max_steps):
        fz = f(z)
        nfe += active
        error, size = root_mean_square(fz - z), root_mean_square(fz)
        finite = torch.isfinite(error)
        done = error <= stopping.threshold(size)
        residual = torch.where(active & finite, error / size.clamp_min(torch.finfo(z.dtype).tiny), residual)
        value = torch.where((active & finite)[..., None], fz, value)
        status = torch.where(active & done, SolveStatus.CONVERGED.code, status)
        status = torch.where(active & ~finite, SolveStatus.DIVERGED.code, status).to(torch.int8)
        active = active & finite & ~done
        if not bool(active.any()):
            break
        proposal, state = solver.step(z, fz, state)
        z = torch.where(active[..., None], proposal, value)
    return value, SolveRecord(status, nfe, nfe, residual)
