"""Sums up the records of many small solves: those of a memory cell, step by step."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from metabench.layers import SolveRecord

__all__ = ["EXPLICIT", "SolveMeans", "SolveTally"]


@dataclass(frozen=True)
class SolveMeans:
    """Means over the samples of all solves since the last time.

    Attributes:
        nfe_forward: function evaluations of one call.
        nfe_backward: vector-Jacobian products of one call's backward pass; those of the calls that had one.
        unconverged: fraction of samples whose solve, forward or backward, missed its tolerance.
        residual: relative residual of the forward solves.
    """

    nfe_forward: float
    nfe_backward: float
    unconverged: float
    residual: float

    def metrics(self, part: str) -> dict[str, float]:
        """By name, as ``charts/<part>_nfe_forward`` and so on."""
        return {f"charts/{part}_{name}": value for name, value in vars(self).items()}


EXPLICIT = SolveMeans(1.0, 1.0, 0.0, 0.0)
"""Those of one explicit step, such as a gated recurrent unit's."""


class SolveTally:
    """Keeps the records of calls that are trained through, until they are asked for.

    Calls without gradients (acting, evaluating) are not counted: what is logged then depends on nothing but training,
    so that a resumed run logs the same, and acting pays nothing.
    """

    def __init__(self) -> None:
        self._records: list[SolveRecord] = []

    def add(self, record: SolveRecord) -> None:
        """Takes a call's record; its backward part may still come."""
        if torch.is_grad_enabled():
            self._records.append(record)

    def take(self) -> SolveMeans:
        """The means since the last time; those of an explicit step if there were no calls."""
        records, self._records = self._records, []
        if not records:
            return EXPLICIT
        back = [record.backward for record in records if record.backward is not None]
        missed = [
            ~record.converged if record.backward is None else ~(record.converged & record.backward.converged)
            for record in records
        ]
        return SolveMeans(
            nfe_forward=_mean([record.nfe for record in records]),
            nfe_backward=_mean([record.nfe for record in back]) if back else 0.0,
            unconverged=_mean(missed),
            residual=_mean([record.residual for record in records]),
        )


def _mean(parts: list[torch.Tensor]) -> float:
    return float(torch.cat([part.detach().reshape(-1).double() for part in parts]).mean())
