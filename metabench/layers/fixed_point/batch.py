"""What an iterative solve knows of each sample: who still runs, the answers, and why the others ended."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metabench.layers.fixed_point.solver import Take
from metabench.layers.record import SolveRecord, SolveStatus
from metabench.layers.stopping import Tolerance

__all__ = ["Batch"]


class Batch:
    """The samples of one solve. Ended samples keep their answers; they can be dropped from the iteration.

    Samples are numbered along the flattened sample axes. Answers are copied by row when samples end, and not before:
    a mask over all values would cost more than an evaluation of a small cell.

    Args:
        z: initial iterates ``(..., dim)``.
        stopping: when a sample is done.
        scale: a size of the value, root-mean-square ``(...)``, that the relative tolerance refers to at least.
    """

    def __init__(self, z: Tensor, stopping: Tolerance, scale: Tensor | None = None) -> None:
        shape, device = z.shape[:-1], z.device
        root = max(z.shape[-1], 1) ** 0.5  # norms are root times root-mean-squares
        self._rtol, atol = stopping.limits(z.dtype)
        self._atol, self._tiny = atol * root, torch.finfo(z.dtype).tiny
        self._shape = z.shape
        self._live = torch.ones(shape, dtype=torch.bool, device=device)
        self._running = self._live.numel()
        self._scale = None if scale is None else scale * root
        self._last = z  # the values of the last check
        self._rows: Tensor | None = None  # numbers of the present samples; None is all of them
        self._answer: Tensor | None = None
        flat = (self._running,)
        self._status = torch.full(flat, SolveStatus.MAX_STEPS.code, dtype=torch.int8, device=device)
        self._nfe = torch.zeros(flat, dtype=torch.int32, device=device)
        self._steps = torch.zeros(flat, dtype=torch.int32, device=device)
        self._residual = torch.zeros(flat, dtype=z.dtype, device=device)

    def check(self, difference: Tensor, value: Tensor, nfe: int, steps: int, *, last: bool) -> bool:
        """Enters the residual vectors and values ``(..., dim)`` of the present iterates.

        Args:
            difference: image minus iterate.
            value: what is asked for.
            nfe: evaluations so far.
            steps: iterations so far.
            last: whether there will be no further check.

        Returns:
            Whether any sample goes on.
        """
        error = torch.linalg.vector_norm(difference, dim=-1)
        size = torch.linalg.vector_norm(value, dim=-1)
        reference = size if self._scale is None else torch.maximum(size, self._scale)
        limit = reference * self._rtol
        done = (error <= (limit + self._atol if self._atol else limit)).logical_and_(self._live)
        if not math.isfinite(error.sum().item()):
            lost = self._live & ~torch.isfinite(error)
            done &= ~lost  # an infinite value would have an infinite tolerance
            self._end(lost, self._last, SolveStatus.DIVERGED, nfe, steps, torch.zeros_like(error), size)
            value = torch.where(lost[..., None], self._last, value)
        if last:
            missed = self._live & ~done
            self._end(missed, value, SolveStatus.MAX_STEPS, nfe, steps, error, size)
        self._end(done, value, SolveStatus.CONVERGED, nfe, steps, error, size)
        self._last = value
        return self._running > 0

    def _end(
        self, who: Tensor, value: Tensor, status: SolveStatus, nfe: int, steps: int, error: Tensor, size: Tensor
    ) -> None:
        """Writes down the answers of the samples ``who`` and takes them from the live ones."""
        places = (who if who.ndim == 1 else who.reshape(-1)).nonzero()
        count = places.shape[0]
        if count == 0:
            return
        relative = error / size.clamp_min(self._tiny)
        if count == len(self._status):  # all at once: nothing to merge
            self._answer, self._residual = value, relative.reshape(-1)
            self._status.fill_(status.code)
            self._nfe.fill_(nfe)
            self._steps.fill_(steps)
        else:
            if self._answer is None:
                self._answer = torch.empty(self._shape, dtype=value.dtype, device=value.device)
            places = places.squeeze(1)
            rows = places if self._rows is None else self._rows[places]
            dim = self._shape[-1]
            self._answer.view(-1, dim).index_copy_(0, rows, value.reshape(-1, dim).index_select(0, places))
            self._residual.index_copy_(0, rows, relative.reshape(-1).index_select(0, places))
            self._status.index_fill_(0, rows, status.code)
            self._nfe.index_fill_(0, rows, nfe)
            self._steps.index_fill_(0, rows, steps)
        self._live = self._live & ~who
        self._running -= count

    def surplus(self, fewest: int) -> int | None:
        """How many samples a row of the last sample axis is left with, if a quarter of it or more may leave the batch.

        Args:
            fewest: a row so short is left as it is.
        """
        if self._live.ndim == 0 or self._live.shape[-1] <= fewest or 4 * self._running > 3 * self._live.numel():
            return None
        kept = int(self._live.sum(-1).max())
        return kept if 4 * kept <= 3 * self._live.shape[-1] else None

    def leave(self, kept: int) -> Take:
        """Goes on with ``kept`` samples of each row of the last sample axis, those that run first.

        Returns:
            A function that picks them from a tensor ``(..., *sample axes, k)``.
        """
        axes = self._live.shape
        order = self._live.to(torch.int8).argsort(dim=-1, descending=True, stable=True)[..., :kept]
        first = torch.arange(0, self._live.numel(), axes[-1], device=order.device).view(*axes[:-1], 1)
        picked = (order + first).reshape(-1)

        def take(t: Tensor) -> Tensor:
            lead = t.ndim - len(axes) - 1  # a solver's memory has axes before the samples'
            fewer = t.reshape(*t.shape[:lead], -1, t.shape[-1]).index_select(lead, picked)
            return fewer.view(*t.shape[:lead], *axes[:-1], kept, t.shape[-1])

        self._rows = picked if self._rows is None else self._rows[picked]
        self._live = take(self._live.unsqueeze(-1)).squeeze(-1)
        self._scale = None if self._scale is None else take(self._scale.unsqueeze(-1)).squeeze(-1)
        self._last = take(self._last)
        return take

    def result(self) -> tuple[Tensor, SolveRecord]:
        """The values and the record of the whole batch, once every sample has ended."""
        axes = self._shape[:-1]
        value = self._last if self._answer is None else self._answer
        return value, SolveRecord(
            self._status.view(axes), self._steps.view(axes), self._nfe.view(axes), self._residual.view(axes)
        )
