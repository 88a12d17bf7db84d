"""Polyhedra with a closed-form projection: boxes, the orthant and simplices."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.argmin.convex_set import ConvexSet, Polyhedron, column, is_positive
from metabench.layers.argmin.simplex_projection import onto_capped_simplex, onto_simplex

__all__ = ["Box", "CappedSimplex", "ConvexSet", "Orthant", "Simplex"]


@dataclass(frozen=True, eq=False)
class Box(Polyhedron):
    """lower <= z_i <= upper.

    Attributes:
        lower: a number, or a tensor that broadcasts to ``(..., dim)``; may be -infinity.
        upper: likewise, larger; may be infinity.
    """

    lower: float | Tensor = -1.0
    upper: float | Tensor = 1.0

    def __post_init__(self) -> None:
        ordered = torch.as_tensor(self.lower).detach() < torch.as_tensor(self.upper).detach()
        if not bool(ordered.all()):
            raise ArgumentError(f"lower={self.lower}, upper={self.upper}: expected lower < upper.")

    def project(self, v: Tensor) -> Tensor:
        """Clips."""
        if isinstance(self.lower, Tensor) or isinstance(self.upper, Tensor):
            return torch.minimum(
                torch.maximum(v, torch.as_tensor(self.lower, dtype=v.dtype, device=v.device)),
                torch.as_tensor(self.upper, dtype=v.dtype, device=v.device),
            )
        return v.clamp(self.lower, self.upper)

    def project_tangent(self, z: Tensor, v: Tensor) -> Tensor:
        """Zero where a bound is active."""
        return torch.minimum(z - self.lower, self.upper - z).sign_().mul_(v)

    def parameter_gradients(self, v: Tensor, z: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
        """A bound that is active has the gradient of its entry."""
        return grad * (z <= self.lower), grad * (z >= self.upper)


@dataclass(frozen=True, eq=False)
class Orthant(Polyhedron):
    """z_i >= 0; its projection is relu."""

    def project(self, v: Tensor) -> Tensor:
        """relu."""
        return v.clamp_min(0.0)

    def project_tangent(self, z: Tensor, v: Tensor) -> Tensor:
        """Zero where z is zero."""
        return z.sign().mul_(v)

    def parameter_gradients(self, v: Tensor, z: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
        """It has none."""
        return ()


def _without_mean(free: Tensor, v: Tensor) -> Tensor:
    """``v`` where ``free`` is 1, less its mean there; zero elsewhere."""
    kept = free * v
    mean = kept.sum(-1, keepdim=True) / free.sum(-1, keepdim=True).clamp_min(1.0)
    return torch.addcmul(kept, free, mean, value=-1)


def _mean(free: Tensor, v: Tensor) -> Tensor:
    """The mean of ``v`` where ``free`` is 1, shape ``(...)``."""
    return (free * v).sum(-1) / free.sum(-1).clamp_min(1.0)


@dataclass(frozen=True, eq=False)
class Simplex(Polyhedron):
    """z_i >= 0, sum z = radius.

    Attributes:
        radius: a positive number, or one for each sample, ``(...)``.

    Reference: Held, Wolfe and Crowder (1974); Duchi et al. (2008), ICML.
    """

    radius: float | Tensor = 1.0

    def __post_init__(self) -> None:
        is_positive("radius", self.radius)

    def project(self, v: Tensor) -> Tensor:
        """The positive part of v minus the threshold that makes it sum to the radius."""
        return onto_simplex(v, column(self.radius))

    def project_tangent(self, z: Tensor, v: Tensor) -> Tensor:
        """Zero off the support, zero sum on it."""
        return _without_mean(z.sign(), v)

    def parameter_gradients(self, v: Tensor, z: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
        """A larger radius is shared equally by the support."""
        return (_mean(z.sign(), grad),)


@dataclass(frozen=True, eq=False)
class CappedSimplex(Polyhedron):
    """0 <= z_i <= 1, sum z = total: the top-k polytope for total = k, on which a projection is a soft top-k.

    Attributes:
        total: a positive number, at most dim, or one for each sample, ``(...)``.

    Reference: Wang and Lu (2015), arXiv:1503.01002; Amos, Koltun and Kolter (2019), arXiv:1906.08707, for the polytope.
    """

    total: float | Tensor = 1.0

    def __post_init__(self) -> None:
        is_positive("total", self.total)

    def project(self, v: Tensor) -> Tensor:
        """v minus a threshold, clipped."""
        if bool((torch.as_tensor(self.total) > v.shape[-1]).any()):
            raise ArgumentError(f"total={self.total} of {v.shape[-1]} entries, each at most 1; expected total <= dim.")
        return onto_capped_simplex(v, column(self.total))

    def project_tangent(self, z: Tensor, v: Tensor) -> Tensor:
        """Zero where z is 0 or 1, zero sum on the rest."""
        return _without_mean((z * (1 - z)).sign_(), v)

    def parameter_gradients(self, v: Tensor, z: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
        """A larger total is shared equally by the entries between 0 and 1; at a vertex the next one gets it."""
        inside = (z * (1 - z)).sign_()
        room = z < 1
        following = torch.zeros_like(z).scatter_(-1, v.masked_fill(~room, -torch.inf).argmax(-1, keepdim=True), 1.0)
        vertex = (inside.sum(-1, keepdim=True) == 0) & room.any(-1, keepdim=True)
        return (_mean(torch.where(vertex, following, inside), grad),)
