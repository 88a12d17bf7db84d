"""How implicit blocks are solved, where that is not left to them: solvers, tolerance and adjoints, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

import torch
from torch import Tensor

from metabench.blocks import BLOCKS
from metabench.blocks.block import Block
from metabench.errors import ArgumentError
from metabench.layers import (
    Adjoint,
    AlternatingAnderson,
    Anderson,
    Backprop,
    Broyden,
    ContinuousAdjoint,
    Dopri5,
    Euler,
    FixedPointSolver,
    Implicit,
    JacobianFree,
    Midpoint,
    ODEAdjoint,
    ODESolver,
    Phantom,
    Picard,
    RungeKutta4,
    Tolerance,
    Truncated,
)
from metabench.registry import did_you_mean

__all__ = [
    "FIXED_POINT_ADJOINTS",
    "FIXED_POINT_SOLVERS",
    "ODE_ADJOINTS",
    "ODE_SOLVERS",
    "VERSION",
    "SolveSettings",
    "make_block",
    "through_time",
]

VERSION = 1  # raised when what a name stands for changes; it is part of the protocol hash of every joint row
MAX_STEPS = 60  # iterations, or attempted steps of an adaptive solver, after which a sample is given up
ABSOLUTE = 0.1  # the absolute tolerance, in units of the relative one

Choice = TypeVar("Choice")


@dataclass(frozen=True)
class SolveSettings:
    """What a block is told about its solve; None leaves it to the block. A block takes what its ``heeds`` names.

    Attributes:
        solver: of fixed points, and of splittings (argmins and monotone equilibria).
        tolerance: when those stop.
        adjoint: how the gradient of a fixed point is found.
        ode_solver: of differential equations; an adaptive one has its own tolerance.
        ode_adjoint: how their gradient is found.
    """

    solver: FixedPointSolver | None = None
    tolerance: Tolerance | None = None
    adjoint: Adjoint | None = None
    ode_solver: ODESolver | None = None
    ode_adjoint: ODEAdjoint | None = None

    @staticmethod
    def named(
        *,
        fixed_point_solver: str | None = None,
        fixed_point_adjoint: str | None = None,
        ode_solver: str | None = None,
        ode_steps: int | None = None,
        ode_adjoint: str | None = None,
        tolerance: float | None = None,
    ) -> SolveSettings:
        """The settings that hyperparameters say; None leaves them to the block.

        Args:
            fixed_point_solver: of ``FIXED_POINT_SOLVERS``.
            fixed_point_adjoint: of ``FIXED_POINT_ADJOINTS``.
            ode_solver: of ``ODE_SOLVERS``.
            ode_steps: steps of a solver on a fixed grid.
            ode_adjoint: of ``ODE_ADJOINTS``.
            tolerance: relative tolerance of a fixed point's residual and of an adaptive solver's local error; the
                absolute one is a tenth of it.

        Raises:
            ArgumentError: for an unknown name.
        """
        rule = None
        if tolerance is not None:
            rule = Tolerance(atol=ABSOLUTE * tolerance, rtol=tolerance, max_steps=MAX_STEPS)
        integrator = _pick("ODE solver", ODE_SOLVERS, ode_solver)
        if isinstance(integrator, Dopri5) and rule is not None:
            integrator = replace(integrator, rtol=rule.rtol, atol=rule.atol)
        elif isinstance(integrator, Euler | Midpoint | RungeKutta4) and ode_steps is not None:
            integrator = replace(integrator, steps=ode_steps)
        return SolveSettings(
            solver=_pick("fixed-point solver", FIXED_POINT_SOLVERS, fixed_point_solver),
            tolerance=rule,
            adjoint=_pick("fixed-point adjoint", FIXED_POINT_ADJOINTS, fixed_point_adjoint),
            ode_solver=integrator,
            ode_adjoint=_pick("ODE adjoint", ODE_ADJOINTS, ode_adjoint),
        )


def _pick(kind: str, known: dict[str, Choice], name: str | None) -> Choice | None:
    if name is not None and name not in known:
        raise ArgumentError(f"unknown {kind} {name!r}.{did_you_mean(name, known)} Known: {', '.join(known)}.")
    return None if name is None else known[name]


FIXED_POINT_SOLVERS: dict[str, FixedPointSolver] = {
    "picard": Picard(compiled=True),
    "anderson": Anderson(compiled=True),
    "alternating-anderson": AlternatingAnderson(compiled=True),
    "broyden": Broyden(compiled=True),
}
# `Unrolled` is not among them: it needs Picard iteration, and `mlp.tied` is the unrolled lift.
FIXED_POINT_ADJOINTS: dict[str, Adjoint] = {
    "implicit": Implicit(policy="keep"),
    "jfb": JacobianFree(),
    "phantom": Phantom(),
    "truncated": Truncated(),
}
ODE_SOLVERS: dict[str, ODESolver] = {
    "euler": Euler(),
    "midpoint": Midpoint(),
    "rk4": RungeKutta4(),
    "dopri5": Dopri5(max_steps=MAX_STEPS),
}
# `Checkpointed` is not among them: its gradient is that of `Backprop`.
ODE_ADJOINTS: dict[str, ODEAdjoint] = {"backprop": Backprop(), "continuous": ContinuousAdjoint(policy="keep")}


def through_time(adjoint: ODEAdjoint | None, *parameters: Tensor) -> ODEAdjoint | None:
    """The adjoint for a field that closes over ``parameters``, which a continuous one has to be told."""
    return replace(adjoint, parameters=parameters) if isinstance(adjoint, ContinuousAdjoint) else adjoint


def make_block(
    name: str, width: int, generators: Sequence[torch.Generator], settings: SolveSettings | None = None
) -> Block:
    """A registered block, told how it is solved if it heeds that."""
    made = BLOCKS.get(name)
    return (
        made(width, generators, settings=settings) if settings is not None and made.heeds else made(width, generators)
    )
