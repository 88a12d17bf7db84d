"""What a solve reports, sample by sample."""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from enum import Enum
from typing import Literal

import torch
from torch import Tensor

from metabench.errors import ArgumentError, SolverError

__all__ = ["Policy", "Solution", "SolveRecord", "SolveStatus", "apply_policy"]

Policy = Literal["raise", "warn", "nan", "keep"]


class SolveStatus(Enum):
    """Why a sample's solve ended. The value is the message for a person; ``code`` is its number in status tensors."""

    CONVERGED = "converged to the tolerance"
    MAX_STEPS = "reached the step limit before the tolerance; allow more steps or loosen the tolerance"
    DIVERGED = "became non-finite; its value is the last finite iterate"
    INFEASIBLE = "the constraints are infeasible (or nearly so)"
    INVALID = "the input is not finite, or its matrix is not positive definite"

    @property
    def code(self) -> int:
        return _CODES[self]


_CODES = {status: code for code, status in enumerate(SolveStatus)}


@dataclass
class SolveRecord:
    """Record of one batched solve; every tensor has the shape of the sample axes (the state's shape without its last).

    Attributes:
        status: int8 codes of :class:`SolveStatus`.
        steps: int32 iterations or accepted steps.
        nfe: int32 function evaluations (forward) or vector-Jacobian products (backward).
        residual: root-mean-square of the last residual over ``dim``, relative to the value's own size.
        backward: the record of the adjoint solve, once a backward pass has run.
    """

    status: Tensor
    steps: Tensor
    nfe: Tensor
    residual: Tensor
    backward: SolveRecord | None = None

    @property
    def converged(self) -> Tensor:
        """Boolean tensor: which samples met the tolerance."""
        return self.status == SolveStatus.CONVERGED.code

    def counts(self) -> dict[SolveStatus, int]:
        """How many samples ended in each status."""
        return {status: int((self.status == status.code).sum()) for status in SolveStatus}

    @staticmethod
    def explicit(value: Tensor, nfe: int, *, steps: int | None = None) -> SolveRecord:
        """The record of a map evaluated a fixed number of times: residual 0, and as many evaluations back."""
        shape = value.shape[:-1]
        finite = torch.isfinite(value.detach().sum(-1))  # a NaN or an infinity stays in a sum
        status = torch.where(finite, SolveStatus.CONVERGED.code, SolveStatus.DIVERGED.code).to(torch.int8)
        count = torch.full(shape, nfe, dtype=torch.int32, device=value.device)
        step = torch.full(shape, nfe if steps is None else steps, dtype=torch.int32, device=value.device)
        zero = torch.zeros(shape, dtype=value.dtype, device=value.device)
        return SolveRecord(status, step, count, zero, SolveRecord(status, step, count, zero))


@dataclass(frozen=True)
class Solution:
    """The value of a solve, shape ``(..., dim)``, and its per-sample record."""

    value: Tensor
    record: SolveRecord


_warned: set[str] = set()


def apply_policy(value: Tensor, record: SolveRecord, policy: Policy, what: str) -> Tensor:
    """Deals with samples that did not converge: raise, warn (once a process for each ``what``), fill with NaN, or keep.

    Raises:
        SolverError: under ``policy="raise"`` if any sample missed the tolerance.
    """
    if policy == "keep":
        return value
    if policy not in ("raise", "warn", "nan"):
        raise ArgumentError(f"unknown policy {policy!r}; expected 'raise', 'warn', 'nan' or 'keep'.")
    converged = record.converged
    if bool(converged.all()):
        return value
    if policy == "nan":
        return torch.where(converged[..., None], value, torch.full_like(value, float("nan")))
    missed = {status: n for status, n in record.counts().items() if n and status is not SolveStatus.CONVERGED}
    text = "; ".join(f"{n} of {converged.numel()} samples: {status.value}" for status, n in missed.items())
    if policy == "raise":
        raise SolverError(f"{what}: {text}.")
    if what not in _warned:
        _warned.add(what)
        warnings.warn(f"{what}: {text}. (Shown once; policy='keep' silences it.)", RuntimeWarning, stacklevel=3)
    return value
