"""Fixed-point solvers for z = f(z), one a file, and the loop that drives them."""

from metabench.layers.fixed_point.alternating import AlternatingAnderson
from metabench.layers.fixed_point.anderson import Anderson
from metabench.layers.fixed_point.broyden import Broyden
from metabench.layers.fixed_point.chord import Chord
from metabench.layers.fixed_point.form import Form, Known, Pullback
from metabench.layers.fixed_point.iterate import iterate
from metabench.layers.fixed_point.mapping import Function, Mapping
from metabench.layers.fixed_point.newton import Newton
from metabench.layers.fixed_point.picard import Picard
from metabench.layers.fixed_point.solver import FixedPointSolver

__all__ = [
    "AlternatingAnderson",
    "Anderson",
    "Broyden",
    "Chord",
    "FixedPointSolver",
    "Form",
    "Function",
    "Known",
    "Mapping",
    "Newton",
    "Picard",
    "Pullback",
    "all_solvers",
    "batch_solvers",
    "iterate",
]

all_solvers = (Picard, Anderson, AlternatingAnderson, Broyden, Newton)
batch_solvers = (Chord,)  # a sample's path depends on its batch, and its value to the tolerance only
