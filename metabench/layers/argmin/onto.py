"""What a splitting projects onto: a set, or the directions along a face of it."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.layers.argmin.convex_set import Polyhedron
from metabench.layers.argmin.sets import Box, Orthant, Simplex
from metabench.layers.fixed_point.form import Kind

__all__ = ["OntoFace", "OntoSet", "Projection"]

Known = tuple[Kind, Tensor | None, tuple[float, float]]


class Projection(ABC):
    """Onto a set, or onto a subspace that belongs to the sample."""

    @abstractmethod
    def __call__(self, v: Tensor, point: Tensor | None) -> Tensor:
        """The projection of ``v`` ``(..., dim)``; ``point`` ``(..., dim)`` tells which subspace."""

    @abstractmethod
    def known(self, point: Tensor | None) -> Known | None:
        """Kind, factors and bounds of its :class:`~metabench.layers.fixed_point.Form`, if it has one."""


def _bounds(onto: Polyhedron) -> tuple[Kind, tuple[float, float]] | None:
    """The set as numbers, if numbers describe it."""
    numbers = [float(value) for value in onto.values if not isinstance(value, Tensor)]
    if onto.parameters:
        return None
    if isinstance(onto, Orthant):
        return "box", (0.0, math.inf)
    if isinstance(onto, Box):
        return "box", (numbers[0], numbers[1])
    return ("simplex", (numbers[0], 0.0)) if isinstance(onto, Simplex) else None


@dataclass(frozen=True)
class OntoSet(Projection):
    """Onto C."""

    onto: Polyhedron

    def __call__(self, v: Tensor, point: Tensor | None) -> Tensor:
        return self.onto.project(v)

    def known(self, point: Tensor | None) -> Known | None:
        """Of boxes and simplices."""
        found = _bounds(self.onto)
        return None if found is None else (found[0], None, found[1])


@dataclass(frozen=True)
class OntoFace(Projection):
    """Onto the directions along the face of C that the point lies on."""

    onto: Polyhedron

    def __call__(self, v: Tensor, point: Tensor | None) -> Tensor:
        assert point is not None
        return self.onto.project_tangent(point, v)

    def known(self, point: Tensor | None) -> Known | None:
        """Of boxes and simplices: which entries are free."""
        found = _bounds(self.onto)
        if found is None or point is None:
            return None
        if found[0] == "simplex":
            return "centred face", point.sign(), (0.0, 0.0)
        return "face", self.onto.project_tangent(point, torch.ones_like(point)), (0.0, 0.0)
