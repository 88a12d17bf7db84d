"""The interface of a way back through a fixed-point solve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence

from torch import Tensor

from metabench.layers.fixed_point.solver import FixedPointSolver
from metabench.layers.record import SolveRecord
from metabench.layers.stopping import Tolerance

__all__ = ["Adjoint"]


class Adjoint(ABC):
    """Solves z = f(z, *inputs) so that the solution has a gradient."""

    @abstractmethod
    def solve(
        self,
        f: Callable[..., Tensor],
        z0: Tensor,
        inputs: Sequence[Tensor] | None,
        solver: FixedPointSolver,
        stopping: Tolerance,
    ) -> tuple[Tensor, SolveRecord]:
        """Returns z* ``(..., dim)`` with a gradient to what ``f`` depends on, and the per-sample record.

        The backward pass writes ``record.backward``. ``inputs`` is None if ``f`` may close over per-sample tensors.
        """
