"""Implicit layers: what a layer is (f) is separate from how it is solved (solver, stopping rule, adjoint)."""

from metabench.layers.adjoint import Adjoint, Implicit
from metabench.layers.argmin import (
    Box,
    ConvexSet,
    Orthant,
    Simplex,
    monotone_inclusion,
    project,
    project_simplex,
    quadratic_program,
)
from metabench.layers.equilibrium import fixed_point
from metabench.layers.fixed_point import Anderson, FixedPointSolver, Picard
from metabench.layers.ode import ODESolver, RungeKutta4, TorchDiffEq, ode_solve
from metabench.layers.record import Solution, SolveRecord, SolveStatus
from metabench.layers.stopping import Tolerance

__all__ = [
    "Adjoint",
    "Anderson",
    "Box",
    "ConvexSet",
    "FixedPointSolver",
    "Implicit",
    "ODESolver",
    "Orthant",
    "Picard",
    "RungeKutta4",
    "Simplex",
    "Solution",
    "SolveRecord",
    "SolveStatus",
    "Tolerance",
    "TorchDiffEq",
    "fixed_point",
    "monotone_inclusion",
    "ode_solve",
    "project",
    "project_simplex",
    "quadratic_program",
]
