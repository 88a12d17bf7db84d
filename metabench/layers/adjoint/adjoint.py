"""The interface of a way back through a solve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable

from torch import Tensor

from metabench.layers.record import SolveRecord

__all__ = ["Adjoint"]


class Adjoint(ABC):
    """Gives a solved value its gradient."""

    @abstractmethod
    def attach(self, f: Callable[[Tensor], Tensor], value: Tensor, record: SolveRecord) -> Tensor:
        """Returns ``value`` (z* = f(z*), no graph, ``(..., dim)``) with a gradient to what ``f`` depends on.

        The backward pass writes ``record.backward``.
        """
