"""Every method of torchdiffeq, by name."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.ode.solver import ODESolver, VectorField
from metabench.layers.record import SolveRecord
from metabench.registry import did_you_mean

__all__ = ["TorchDiffEq"]


@dataclass(frozen=True)
class TorchDiffEq(ODESolver):
    """torchdiffeq's ``odeint``, with backpropagation through its steps.

    Its adaptive methods share one step size over the whole batch, so a sample's value depends, within the tolerance,
    on its neighbours, and every sample's ``nfe`` is the batch's.

    Attributes:
        method: a torchdiffeq method (``"dopri5"``, ``"bosh3"``, ``"rk4"``, ...).
        rtol: relative tolerance of adaptive methods.
        atol: absolute tolerance of adaptive methods.
        options: passed to torchdiffeq.

    Reference: Chen et al. (2018), arXiv:1806.07366.
    """

    method: str = "dopri5"
    rtol: float = 1e-4
    atol: float = 1e-6
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from torchdiffeq._impl.odeint import SOLVERS

        if self.method not in SOLVERS:
            known = ", ".join(SOLVERS)
            raise ArgumentError(
                f"unknown torchdiffeq method {self.method!r}.{did_you_mean(self.method, SOLVERS)} Known: {known}."
            )

    def integrate(self, f: VectorField, z: Tensor, t0: float, t1: float) -> tuple[Tensor, SolveRecord]:
        """One call of ``torchdiffeq.odeint``."""
        from torchdiffeq import odeint

        evaluations = 0

        def counted(t: Tensor, y: Tensor) -> Tensor:
            nonlocal evaluations
            evaluations += 1
            return f(t, y)

        times = torch.tensor([t0, t1], dtype=z.dtype, device=z.device)
        path: Any = odeint(
            counted, z, times, rtol=self.rtol, atol=self.atol, method=self.method, options=dict(self.options) or None
        )
        return path[-1], SolveRecord.explicit(path[-1], nfe=evaluations)
