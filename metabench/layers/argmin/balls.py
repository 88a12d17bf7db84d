"""The balls of the l1 and of the Euclidean norm."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.layers.argmin.convex_set import ConvexSet, Polyhedron, column, is_positive
from metabench.layers.argmin.simplex_projection import onto_simplex

__all__ = ["L1Ball", "L2Ball"]

_FLAT = 8.0  # multiples of dim x the dtype's resolution, within which a norm counts as the radius


@dataclass(frozen=True, eq=False)
class L1Ball(Polyhedron):
    """sum |z_i| <= radius; a projection from outside is sparse.

    Attributes:
        radius: a positive number, or one for each sample, ``(...)``.

    Reference: Duchi et al. (2008), ICML.
    """

    radius: float | Tensor = 1.0

    def __post_init__(self) -> None:
        is_positive("radius", self.radius)

    def project(self, v: Tensor) -> Tensor:
        """Outside, the absolute values are projected on the simplex and keep their signs."""
        size = v.abs()
        radius = column(self.radius)
        inside = size.sum(-1, keepdim=True) <= radius
        z = onto_simplex(size, radius) * v.sign()
        return torch.where(inside, v, z) if bool(inside.any()) else z

    def _outward(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The signs of z, zero off its support; and 1 / |support| on the sphere, zero within, ``(..., 1)``."""
        signs = z.sign()
        margin = 1 - _FLAT * z.shape[-1] * torch.finfo(z.dtype).eps
        outside = z.abs().sum(-1, keepdim=True) >= column(self.radius) * margin
        return signs, outside / signs.abs().sum(-1, keepdim=True).clamp_min(1.0)

    def project_tangent(self, z: Tensor, v: Tensor) -> Tensor:
        """On the sphere: zero off the support, and no change of the norm. Within: all of v."""
        signs, share = self._outward(z)
        along = torch.addcmul(v, signs, (signs * v).sum(-1, keepdim=True) * share, value=-1)
        return torch.where((share > 0) & (signs == 0), 0.0, along)

    def parameter_gradients(self, v: Tensor, z: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
        """A larger radius is shared equally by the support."""
        signs, share = self._outward(z)
        return ((signs * grad).sum(-1) * share.squeeze(-1),)


@dataclass(frozen=True, eq=False)
class L2Ball(ConvexSet):
    """|z| <= radius. Its sphere is curved: the Jacobian outside is radius / |v| times the projector on the tangent.

    Attributes:
        radius: a positive number, or one for each sample, ``(...)``.
    """

    radius: float | Tensor = 1.0

    def __post_init__(self) -> None:
        is_positive("radius", self.radius)

    def _shrink(self, v: Tensor) -> Tensor:
        """Radius / |v| where v is outside, 1 within, ``(..., 1)``."""
        return (column(self.radius) / torch.linalg.vector_norm(v, dim=-1, keepdim=True)).clamp_max(1.0)

    def project(self, v: Tensor) -> Tensor:
        """Shortens v to the radius."""
        return v * self._shrink(v)

    def pull_back(self, v: Tensor, z: Tensor, grad: Tensor) -> Tensor:
        """Outside: what is along the sphere, shrunk as v is. Within: all of grad."""
        shrink = self._shrink(v)
        outward = v / torch.linalg.vector_norm(v, dim=-1, keepdim=True) * (shrink < 1)
        outward = torch.where(shrink < 1, outward, 0.0)  # the centre has no direction
        return shrink * torch.addcmul(grad, outward, (outward * grad).sum(-1, keepdim=True), value=-1)

    def parameter_gradients(self, v: Tensor, z: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
        """Outside, a larger radius moves z outward."""
        size = torch.linalg.vector_norm(v, dim=-1)
        along = (v * grad).sum(-1) / size
        return (torch.where(self._shrink(v).squeeze(-1) < 1, along, 0.0),)
