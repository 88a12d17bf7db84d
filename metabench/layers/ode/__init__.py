"""Differential-equation layers: solvers, step control and adjoints, and the layer."""

from metabench.layers.ode.adjoint import ODEAdjoint
from metabench.layers.ode.backprop import Backprop
from metabench.layers.ode.checkpointed import Checkpointed
from metabench.layers.ode.continuous import ContinuousAdjoint
from metabench.layers.ode.embedded import Bosh3, Dopri5, Tsit5
from metabench.layers.ode.fixed_grid import Euler, Midpoint, RungeKutta4
from metabench.layers.ode.layer import ode_solve
from metabench.layers.ode.solver import ODESolver
from metabench.layers.ode.torchdiffeq import TorchDiffEq

__all__ = [
    "Backprop",
    "Bosh3",
    "Checkpointed",
    "ContinuousAdjoint",
    "Dopri5",
    "Euler",
    "Midpoint",
    "ODEAdjoint",
    "ODESolver",
    "RungeKutta4",
    "TorchDiffEq",
    "Tsit5",
    "all_adjoints",
    "all_solvers",
    "ode_solve",
]

all_solvers = (Euler, Midpoint, RungeKutta4, Dopri5, Tsit5, Bosh3, TorchDiffEq)
all_adjoints = (Backprop, Checkpointed, ContinuousAdjoint)
