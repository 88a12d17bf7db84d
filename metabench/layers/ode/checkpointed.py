"""Backpropagation that keeps one state a step and computes the stages again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import checkpoint

from metabench.errors import DifferentiationError
from metabench.layers.adjoint.first_order import refuse_second_order
from metabench.layers.adjoint.image import require_same
from metabench.layers.ode.adjoint import ODEAdjoint
from metabench.layers.ode.solver import ODESolver, VectorField
from metabench.layers.record import SolveRecord
from metabench.layers.transforms import under_transform

__all__ = ["Checkpointed"]


def _run(step: Any, *arguments: Any) -> Any:
    return checkpoint(step, *arguments, use_reentrant=False)


@dataclass(frozen=True)
class Checkpointed(ODEAdjoint):
    """The gradient of :class:`Backprop` to rounding, with memory for the steps' states instead of the stages' graphs.

    Costs one more evaluation of every stage. First derivatives only.

    Reference: Griewank (1992), Achieving logarithmic growth of temporal and spatial complexity in reverse automatic
        differentiation; Zhuang et al. (2020), arXiv:2006.02493.
    """

    def solve(
        self, f: VectorField, z0: Tensor, times: Sequence[float], solver: ODESolver
    ) -> tuple[list[Tensor], SolveRecord]:
        """The solve with each step under a checkpoint."""
        if under_transform():
            raise DifferentiationError(
                "the checkpointed ODE adjoint does not run under torch.func transforms; use adjoint=Backprop()."
            )
        if not torch.is_grad_enabled():
            return solver.integrate(f, z0, times)
        path, record = solver.integrate(f, z0, times, run=_run)
        start = z0.detach().new_full((*z0.shape[:-1], 1), times[0]), z0.detach()
        with torch.no_grad():
            slope = f(*start)
        record.nfe = record.nfe + 1

        def refuse(grad: Tensor) -> None:
            refuse_second_order("checkpointed ODE adjoint")
            with torch.no_grad():
                require_same(slope, f(*start), None, "checkpointed ODE adjoint", "Backprop()")

        for value in path[1:]:
            if value.requires_grad and value is not z0:
                value.register_hook(refuse)
        return path, record
