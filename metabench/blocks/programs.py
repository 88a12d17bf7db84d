"""Optimisation blocks: the state is the solution of a strongly convex quadratic program. Parameters as in ``mlp``."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from metabench.blocks.block import Block
from metabench.blocks.cells import MLPCell
from metabench.blocks.lifts import SOLVER, TOLERANCE
from metabench.blocks.solving import SolveSettings
from metabench.layers import Box, Polyhedron, Simplex, Solution, SolveRecord, quadratic_program

__all__ = ["QPBox", "QPSimplex"]

RIDGE = 0.5  # Q = W^T W + RIDGE I


class _Program(Block):
    """argmin over C of 1/2 z^T Q z - z^T (Ux + b)."""

    version = 3
    heeds = ("solver", "tolerance")
    citation = "Amos and Kolter (2017), OptNet, arXiv:1703.00443"

    def __init__(
        self, width: int, generators: Sequence[torch.Generator], *, settings: SolveSettings | None = None
    ) -> None:
        super().__init__(width, generators)
        self.cell = MLPCell(width, generators)
        self.settings = settings or SolveSettings()

    def _argmin(self, h: Tensor, onto: Polyhedron) -> Solution:
        W = self.cell.W
        Q = W.mT @ W + RIDGE * torch.eye(h.shape[-1], dtype=h.dtype, device=h.device)
        p = self.cell.inject(layer_norm(h, h.shape[-1:]))
        solver, stopping = self.settings.solver or SOLVER, self.settings.tolerance or TOLERANCE
        return quadratic_program(Q, p, onto, modulus=RIDGE, solver=solver, stopping=stopping, policy="keep")


class QPBox(_Program):
    """h + z*, the argmin over [-1, 1]^d."""

    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        """Peaceman-Rachford splitting, exact gradient."""
        solution = self._argmin(h, Box(-1.0, 1.0))
        return h + solution.value, solution.record


class QPSimplex(_Program):
    """h + sqrt(d) W z*, the argmin over the probability simplex."""

    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        """Peaceman-Rachford splitting, exact gradient."""
        solution = self._argmin(h, Simplex())
        return h + h.shape[-1] ** 0.5 * (solution.value @ self.cell.W.mT), solution.record
