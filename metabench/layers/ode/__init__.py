"""Differential-equation layers: solvers, one a file, and the layer."""

from metabench.layers.ode.fixed_grid import RungeKutta4
from metabench.layers.ode.layer import ode_solve
from metabench.layers.ode.solver import ODESolver
from metabench.layers.ode.torchdiffeq import TorchDiffEq

__all__ = ["ODESolver", "RungeKutta4", "TorchDiffEq", "all_solvers", "ode_solve"]

all_solvers = (RungeKutta4, TorchDiffEq)
