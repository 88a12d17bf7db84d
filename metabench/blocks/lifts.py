"""Lifts: four ways to turn a cell into a block. The same weights, applied once, unrolled, solved or integrated."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache
from typing import ClassVar

import torch
from torch import Tensor
from torch.nn.functional import layer_norm

from metabench.blocks.block import Block
from metabench.blocks.cells import Cell, GatedCell, MLPCell
from metabench.blocks.solving import SolveSettings, through_time
from metabench.layers import (
    AlternatingAnderson,
    Backprop,
    ContinuousAdjoint,
    Euler,
    Implicit,
    Midpoint,
    ODESolver,
    RungeKutta4,
    SolveRecord,
    Tolerance,
    fixed_point,
    ode_solve,
)
from metabench.layers.explicit import Plan, compiled_adaptive_flow, compiled_flow_reversed, compiled_steps
from metabench.layers.fixed_point import Form
from metabench.layers.ode.tableau import EULER, MIDPOINT, RK4

__all__ = [
    "MLPDEQ",
    "MLPODE",
    "GatedDEQ",
    "GatedODE",
    "GatedResidual",
    "GatedTied",
    "MLPResidual",
    "MLPTied",
]

TIED_STEPS = 6
ODE_STEPS = 3
_TIED = Plan(TIED_STEPS)
ODE_SOLVER = RungeKutta4(steps=ODE_STEPS)
TOLERANCE = Tolerance(atol=1e-4, rtol=1e-3, max_steps=60)
SOLVER = AlternatingAnderson(
    compiled=True
)  # plain steps are cheap and mostly enough; the mixtures get the stubborn samples


@lru_cache
def _plan(solver: ODESolver) -> Plan | None:
    """The steps of a solver on a fixed grid over [0, 1]."""
    for kind, tableau in ((Euler, EULER), (Midpoint, MIDPOINT), (RungeKutta4, RK4)):
        if isinstance(solver, kind):
            return Plan(solver.steps, tableau)
    return None


def compiled_flow(form: Form, h: Tensor, settings: SolveSettings) -> tuple[Tensor, SolveRecord] | None:
    """State at time 1 from ``h`` ``(replicates, batch, width)`` in one compiled call; None leaves it to ``ode_solve``.

    Args:
        form: the vector field.
        h: the state at time 0.
        settings: backpropagation and the continuous adjoint can be compiled.
    """
    solver, adjoint = settings.ode_solver or ODE_SOLVER, settings.ode_adjoint or Backprop()
    plan = _plan(solver)
    if plan is None:
        return compiled_adaptive_flow(form, h, solver, adjoint)
    if isinstance(adjoint, ContinuousAdjoint):
        return compiled_flow_reversed(form, h, plan, solver, adjoint)
    if not isinstance(adjoint, Backprop):
        return None
    out = compiled_steps(form, h, plan)
    return None if out is None else (out, SolveRecord.explicit(out, nfe=plan.evaluations, steps=plan.steps))


class _Lifted(Block):
    """A block made of one cell; x = layer-norm(h), without an affine part, is injected."""

    cell_type: ClassVar[type[Cell]]

    def __init__(
        self, width: int, generators: Sequence[torch.Generator], *, settings: SolveSettings | None = None
    ) -> None:
        super().__init__(width, generators)
        self.cell = self.cell_type(width, generators)
        self.settings = settings or SolveSettings()


class _Residual(_Lifted):
    """h + f(x, x): one explicit step."""

    citation = "He et al. (2016), Deep residual learning for image recognition, arXiv:1512.03385"

    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        x = layer_norm(h, h.shape[-1:])
        out = h + self.cell.apply(x, self.cell.inject(x))
        return out, SolveRecord.explicit(out, nfe=1)


class _Tied(_Lifted):
    """h + the sixth iterate of z <- f(z, x) from 0: a weight-tied unrolled network."""

    citation = "Dehghani et al. (2019), Universal transformers, arXiv:1807.03819"

    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        injection = self.cell.inject(layer_norm(h, h.shape[-1:]))
        # Torch is as quick with one map after the other; two and their product are worth a compiled loop.
        z = compiled_steps(self.cell.form(injection), torch.zeros_like(h), _TIED) if self.cell.maps > 1 else None
        if z is None:
            z = torch.zeros_like(h)
            for _ in range(TIED_STEPS):
                z = self.cell.apply(z, injection)
        out = h + z
        return out, SolveRecord.explicit(out, nfe=TIED_STEPS)


class _DEQ(_Lifted):
    """h + z*, z* = f(z*, x): Anderson acceleration, implicit gradient."""

    version = 3
    heeds = ("solver", "tolerance", "adjoint")
    citation = "Bai, Kolter and Koltun (2019), Deep equilibrium models, arXiv:1909.01377"

    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        injection = self.cell.inject(layer_norm(h, h.shape[-1:]))
        adjoint = self.settings.adjoint or Implicit(policy="keep")
        if isinstance(adjoint, Implicit):
            adjoint = replace(adjoint, linearise=self.cell.linearise)
        solution = fixed_point(
            self.cell.known,
            torch.zeros_like(h),
            inputs=(injection,),
            solver=self.settings.solver or SOLVER,
            stopping=self.settings.tolerance or TOLERANCE,
            adjoint=adjoint,
            policy="keep",
        )
        return h + solution.value, solution.record


class _ODE(_Lifted):
    """z(1) of dz/dt = f(z, x), z(0) = h: rk4 with three steps, backpropagation."""

    heeds = ("ode_solver", "ode_adjoint")
    citation = "Chen et al. (2018), Neural ordinary differential equations, arXiv:1806.07366"

    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        injection = self.cell.inject(layer_norm(h, h.shape[-1:]))
        compiled = compiled_flow(self.cell.form(injection), h, self.settings)
        if compiled is not None:
            return compiled
        solution = ode_solve(
            lambda _, z: self.cell.apply(z, injection),
            h,
            solver=self.settings.ode_solver or ODE_SOLVER,
            adjoint=through_time(self.settings.ode_adjoint, injection, self.cell.W),
            policy="keep",
        )
        return solution.value, solution.record


class MLPResidual(_Residual):
    """``mlp.residual``."""

    cell_type = MLPCell


class GatedResidual(_Residual):
    """``gated.residual``."""

    version = 2
    cell_type = GatedCell


class MLPTied(_Tied):
    """``mlp.tied``."""

    cell_type = MLPCell


class GatedTied(_Tied):
    """``gated.tied``."""

    version = 2
    cell_type = GatedCell


class MLPDEQ(_DEQ):
    """``mlp.deq``."""

    cell_type = MLPCell


class GatedDEQ(_DEQ):
    """``gated.deq``."""

    cell_type = GatedCell


class MLPODE(_ODE):
    """``mlp.ode``."""

    cell_type = MLPCell


class GatedODE(_ODE):
    """``gated.ode``."""

    version = 2
    cell_type = GatedCell
