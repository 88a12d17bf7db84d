"""Convex sets with a closed-form projection, and the tangent space of the face a point lies on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.errors import ArgumentError

__all__ = ["Box", "ConvexSet", "Orthant", "Simplex"]


class ConvexSet(ABC):
    """A closed convex set of ``(..., dim)`` vectors."""

    @abstractmethod
    def project(self, v: Tensor) -> Tensor:
        """Euclidean projection of ``v`` ``(..., dim)``; exact zeros and bounds, so the active face can be read off."""

    @abstractmethod
    def project_tangent(self, z: Tensor, v: Tensor) -> Tensor:
        """Orthogonal projection of ``v`` on the directions along the face that ``z`` lies on, both ``(..., dim)``."""


@dataclass(frozen=True)
class Box(ConvexSet):
    """lower <= z_i <= upper."""

    lower: float = -1.0
    upper: float = 1.0

    def __post_init__(self) -> None:
        if not self.lower < self.upper:
            raise ArgumentError(f"lower={self.lower}, upper={self.upper}: expected lower < upper.")

    def project(self, v: Tensor) -> Tensor:
        """Clips."""
        return v.clamp(self.lower, self.upper)

    def project_tangent(self, z: Tensor, v: Tensor) -> Tensor:
        """Zero where a bound is active."""
        return v * ((z > self.lower) & (z < self.upper))


@dataclass(frozen=True)
class Orthant(ConvexSet):
    """z_i >= 0; its projection is relu."""

    def project(self, v: Tensor) -> Tensor:
        """relu."""
        return v.clamp_min(0.0)

    def project_tangent(self, z: Tensor, v: Tensor) -> Tensor:
        """Zero where z is zero."""
        return v * (z > 0)


@dataclass(frozen=True)
class Simplex(ConvexSet):
    """z_i >= 0, sum z = radius.

    Reference: Held, Wolfe and Crowder (1974); Duchi et al. (2008), ICML, for the sort-based projection.
    """

    radius: float = 1.0

    def __post_init__(self) -> None:
        if not self.radius > 0:
            raise ArgumentError(f"radius={self.radius}: expected a positive number.")

    def project(self, v: Tensor) -> Tensor:
        """v minus the threshold that makes the positive parts sum to the radius, found by a sort."""
        ordered = v.sort(dim=-1, descending=True).values
        excess = ordered.cumsum(-1) - self.radius
        rank = torch.arange(1, v.shape[-1] + 1, dtype=v.dtype, device=v.device)
        support = (ordered * rank > excess).sum(-1, keepdim=True).clamp_min(1)
        threshold = excess.gather(-1, support - 1) / support
        return (v - threshold).clamp_min(0.0)

    def project_tangent(self, z: Tensor, v: Tensor) -> Tensor:
        """Zero off the support, zero sum on it."""
        support = (z > 0).to(v.dtype)
        return support * (v - (support * v).sum(-1, keepdim=True) / support.sum(-1, keepdim=True).clamp_min(1.0))
