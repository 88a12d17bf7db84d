"""Ways back through a solve, one a file."""

from metabench.layers.adjoint.adjoint import Adjoint
from metabench.layers.adjoint.implicit import Implicit

__all__ = ["Adjoint", "Implicit", "all_adjoints"]

all_adjoints = (Implicit,)
