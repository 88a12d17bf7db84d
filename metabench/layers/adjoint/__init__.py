"""Ways back through a fixed-point solve, one idea a file."""

from metabench.layers.adjoint.adjoint import Adjoint
from metabench.layers.adjoint.dense import ImplicitDense
from metabench.layers.adjoint.implicit import Implicit, WarmStart
from metabench.layers.adjoint.phantom import JacobianFree, Phantom, Truncated
from metabench.layers.adjoint.unrolled import Unrolled

__all__ = [
    "Adjoint",
    "Implicit",
    "ImplicitDense",
    "JacobianFree",
    "Phantom",
    "Truncated",
    "Unrolled",
    "WarmStart",
    "all_adjoints",
    "exact_adjoints",
]

exact_adjoints = (Implicit, ImplicitDense, Unrolled)
all_adjoints = (*exact_adjoints, JacobianFree, Truncated, Phantom)
