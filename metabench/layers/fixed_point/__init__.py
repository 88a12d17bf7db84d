"""Fixed-point solvers for z = f(z), one a file, and the loop that drives them."""

from metabench.layers.fixed_point.anderson import Anderson
from metabench.layers.fixed_point.picard import Picard
from metabench.layers.fixed_point.solver import FixedPointSolver

__all__ = ["Anderson", "FixedPointSolver", "Picard", "all_solvers"]

all_solvers = (Picard, Anderson)
