"""On top of the layers: regularisers, traces, augmented and structured fields, multi-scale equilibria, flows."""

from metabench.layers.extras.augmented import append_zeros, drop_channels
from metabench.layers.extras.cnf import ContinuousFlow
from metabench.layers.extras.energy import jacobian_energy, kinetic_energy, random_end_time
from metabench.layers.extras.hamiltonian import hamiltonian_field
from metabench.layers.extras.integrals import Integrand, accumulate, solve_with_integrals
from metabench.layers.extras.jacobian import jacobian_norm
from metabench.layers.extras.lagrangian import lagrangian_field
from metabench.layers.extras.multiscale import MultiscaleSolution, multiscale_fixed_point
from metabench.layers.extras.trace import exact_trace, hutchinson_trace

__all__ = [
    "ContinuousFlow",
    "Integrand",
    "MultiscaleSolution",
    "accumulate",
    "append_zeros",
    "drop_channels",
    "exact_trace",
    "hamiltonian_field",
    "hutchinson_trace",
    "jacobian_energy",
    "jacobian_norm",
    "kinetic_energy",
    "lagrangian_field",
    "multiscale_fixed_point",
    "random_end_time",
    "solve_with_integrals",
]
