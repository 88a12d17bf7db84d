"""Structured lifts of the MLP cell: a monotone equilibrium and an antisymmetric flow. Parameters as in ``mlp``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from metabench.blocks.block import Block
from metabench.blocks.cells import MLPCell
from metabench.blocks.lifts import ODE_SOLVER, SOLVER, TOLERANCE, compiled_flow
from metabench.blocks.solving import SolveSettings, through_time
from metabench.layers import Orthant, SolveRecord, monotone_inclusion, ode_solve
from metabench.layers.fixed_point import Form

__all__ = ["MLPAntisymmetricODE", "MLPMonotoneDEQ"]

MODULUS = 0.5  # m: the strong monotonicity of I - M
DAMPING = 0.1  # gamma: the decay rate that makes the flow stable


class MLPMonotoneDEQ(Block):
    """h + z*, z* = relu(Mz* + Ux + b), M = (1-m)I - W^T W + W - W^T: a unique equilibrium whatever W is."""

    version = 3
    heeds = ("solver", "tolerance")
    citation = "Winston and Kolter (2020), Monotone operator equilibrium networks, arXiv:2006.08591"

    def __init__(
        self, width: int, generators: Sequence[torch.Generator], *, settings: SolveSettings | None = None
    ) -> None:
        super().__init__(width, generators)
        self.cell = MLPCell(width, generators)
        self.settings = settings or SolveSettings()

    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        """Peaceman-Rachford splitting on 0 in (I - M) z - (Ux + b) + N(z >= 0)."""
        W = self.cell.W
        eye = torch.eye(h.shape[-1], dtype=h.dtype, device=h.device)
        solution = monotone_inclusion(
            MODULUS * eye + W.mT @ W - W + W.mT,
            self.cell.inject(layer_norm(h, h.shape[-1:])),
            Orthant(),
            modulus=MODULUS,
            solver=self.settings.solver or SOLVER,
            stopping=self.settings.tolerance or TOLERANCE,
            policy="keep",
        )
        return h + solution.value, solution.record


class MLPAntisymmetricODE(Block):
    """z(1) of dz/dt = tanh((W - W^T - gamma I) z + Ux + b), z(0) = h: a stable flow."""

    heeds = ("ode_solver", "ode_adjoint")
    citation = "Chang et al. (2019), AntisymmetricRNN, arXiv:1902.09689; Haber and Ruthotto (2018), arXiv:1705.03341"

    def __init__(
        self, width: int, generators: Sequence[torch.Generator], *, settings: SolveSettings | None = None
    ) -> None:
        super().__init__(width, generators)
        self.cell = MLPCell(width, generators)
        self.settings = settings or SolveSettings()

    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        """rk4 with three steps, backpropagation."""
        W = self.cell.W
        eye = torch.eye(h.shape[-1], dtype=h.dtype, device=h.device)
        transposed = (W - W.mT - DAMPING * eye).mT
        injection = self.cell.inject(layer_norm(h, h.shape[-1:]))
        compiled = compiled_flow(Form("tanh", transposed, injection), h, self.settings)
        if compiled is not None:
            return compiled
        solution = ode_solve(
            lambda _, z: torch.tanh(torch.baddbmm(injection, z, transposed)),
            h,
            solver=self.settings.ode_solver or ODE_SOLVER,
            adjoint=through_time(self.settings.ode_adjoint, injection, transposed),
            policy="keep",
        )
        return solution.value, solution.record
