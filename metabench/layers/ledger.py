"""What an iterative solve remembers of each sample: who still runs, accepted values, why the others ended."""

from __future__ import annotations

import torch
from torch import Tensor

from metabench.layers.record import SolveRecord, SolveStatus
from metabench.layers.stopping import Tolerance, root_mean_square

__all__ = ["Ledger"]


class Ledger:
    """Per-sample bookkeeping of one batched solve: a finished sample is frozen, a non-finite one keeps its last value.

    Attributes:
        value: accepted values, ``(..., dim)``.
        active: bool, sample axes; the samples that go on.
    """

    def __init__(self, value: Tensor, stopping: Tolerance) -> None:
        shape, device = value.shape[:-1], value.device
        self.value = value
        self.active = torch.ones(shape, dtype=torch.bool, device=device)
        self._stopping = stopping
        self._status = torch.full(shape, SolveStatus.MAX_STEPS.code, dtype=torch.int8, device=device)
        self._nfe = torch.zeros(shape, dtype=torch.int32, device=device)
        self._residual = torch.zeros(shape, dtype=value.dtype, device=device)

    def enter(self, value: Tensor, difference: Tensor) -> bool:
        """Enters one iteration: the new values and their residual vectors, both ``(..., dim)``.

        Returns:
            Whether any sample goes on.
        """
        self._nfe += self.active
        error, size = root_mean_square(difference), root_mean_square(value)
        finite = torch.isfinite(error)
        done = error <= self._stopping.threshold(size)
        fresh = self.active & finite
        relative = error / size.clamp_min(torch.finfo(value.dtype).tiny)
        self._residual = torch.where(fresh, relative, self._residual)
        self.value = torch.where(fresh[..., None], value, self.value)
        status = torch.where(self.active & done, SolveStatus.CONVERGED.code, self._status)
        self._status = torch.where(self.active & ~finite, SolveStatus.DIVERGED.code, status).to(torch.int8)
        self.active = fresh & ~done
        return bool(self.active.any())

    def record(self) -> SolveRecord:
        """The record of the solve, when it has ended."""
        return SolveRecord(self._status, self._nfe, self._nfe, self._residual)
