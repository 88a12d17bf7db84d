"""Fixed-point solvers for z = f(z), one a file, and the loop that drives them."""

from metabench.layers.fixed_point.anderson import Anderson
from metabench.layers.fixed_point.broyden import Broyden
from metabench.layers.fixed_point.iterate import iterate
from metabench.layers.fixed_point.mapping import Function, Mapping
from metabench.layers.fixed_point.newton import Newton
from metabench.layers.fixed_point.picard import Picard
from metabench.layers.fixed_point.solver import FixedPointSolver

__all__ = [
    "Anderson",
    "Broyden",
    "FixedPointSolver",
    "Function",
    "Mapping",
    "Newton",
    "Picard",
    "all_solvers",
    "iterate",
]

all_solvers = (Picard, Anderson, Broyden, Newton)
