"""What an iterative solve knows of each sample: who still runs, the answers, and why the others ended."""

from __future__ import annotations

import torch
from torch import Tensor

from metabench.layers.record import SolveRecord, SolveStatus
from metabench.layers.stopping import Tolerance, root_mean_square

__all__ = ["Batch"]


class Batch:
    """The samples of one solve. Ended samples keep their answers; they can be dropped from the iteration.

    Attributes:
        live: bool, sample axes of the present iterates; the samples that go on.
    """

    def __init__(self, z: Tensor) -> None:
        shape, device = z.shape[:-1], z.device
        self.live = torch.ones(shape, dtype=torch.bool, device=device)
        self._value = z
        self._status = torch.full(shape, SolveStatus.MAX_STEPS.code, dtype=torch.int32, device=device)
        self._nfe = torch.zeros(shape, dtype=torch.int32, device=device)
        self._steps = torch.zeros(shape, dtype=torch.int32, device=device)
        self._residual = torch.zeros(shape, dtype=z.dtype, device=device)
        self._whole: list[Tensor] | None = None
        self._places: Tensor | None = None  # (..., kept), of the present samples in the whole batch

    def check(self, difference: Tensor, value: Tensor, stopping: Tolerance, nfe: int, steps: int) -> int:
        """Enters the values ``(..., dim)`` and residual vectors of the present iterates.

        Returns:
            How many samples go on, in the row of the batch axis that has most.
        """
        error, size = root_mean_square(difference), root_mean_square(value)
        finite = torch.isfinite(error + size)
        fresh = self.live & finite
        done = fresh & (error <= stopping.threshold(size))
        self._value = torch.where(fresh[..., None], value, self._value)
        self._residual = torch.where(fresh, error / size.clamp_min(torch.finfo(size.dtype).tiny), self._residual)
        self._status.masked_fill_(done, SolveStatus.CONVERGED.code)
        self._status.masked_fill_(self.live & ~finite, SolveStatus.DIVERGED.code)
        self._nfe.masked_fill_(self.live, nfe)
        self._steps.masked_fill_(self.live, steps)
        self.live = fresh & ~done
        return int(self.live.sum(-1).max())

    def places(self, kept: int) -> Tensor:
        """Where ``kept`` samples of each row of the batch axis stand, those that go on first, ``(..., kept, 1)``."""
        return self.live.to(torch.int8).argsort(dim=-1, descending=True, stable=True)[..., :kept, None]

    def narrow(self, places: Tensor) -> None:
        """Writes down the answers and goes on with the samples at ``places``."""
        self._write()
        order = places[..., 0]
        self._places = order if self._places is None else self._places.gather(-1, order)
        self.live, self._status, self._nfe, self._steps, self._residual = (
            part.gather(-1, order) for part in (self.live, self._status, self._nfe, self._steps, self._residual)
        )
        self._value = torch.take_along_dim(self._value, places, dim=-2)

    def _write(self) -> None:
        parts = [self._value, self._status, self._nfe, self._steps, self._residual]
        if self._whole is None or self._places is None:
            self._whole = [part.clone() for part in parts]
            return
        self._whole[0].scatter_(-2, self._places[..., None].expand_as(self._value), self._value)
        for whole, part in zip(self._whole[1:], parts[1:], strict=True):
            whole.scatter_(-1, self._places, part)

    def result(self) -> tuple[Tensor, SolveRecord]:
        """The values and the record of the whole batch."""
        self._write()
        value, status, nfe, steps, residual = self._whole or []
        return value, SolveRecord(status.to(torch.int8), steps, nfe, residual)
