"""Sets that linear equations or one linear inequality cut out."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import solve_triangular

from metabench.errors import ArgumentError
from metabench.layers.argmin.convex_set import Polyhedron, column

__all__ = ["AffineSet", "Halfspace"]

_FLAT = 64.0  # multiples of the dtype's resolution, within which a point counts as on the boundary


@dataclass(frozen=True, eq=False)
class Halfspace(Polyhedron):
    """normal . z <= offset.

    Attributes:
        normal: ``(..., dim)``, not zero, of any length.
        offset: a number, or one for each sample, ``(...)``.
    """

    normal: Tensor
    offset: float | Tensor = 0.0

    def __post_init__(self) -> None:
        if self.normal.ndim < 1 or not bool((self.normal.detach() != 0).any(-1).all()):
            raise ArgumentError(f"normal of shape {tuple(self.normal.shape)}: expected (..., dim), none of them zero.")

    def _excess(self, z: Tensor) -> Tensor:
        """Normal . z - offset, ``(..., 1)``."""
        return (self.normal * z).sum(-1, keepdim=True) - column(self.offset)

    def _share(self, v: Tensor, active: Tensor) -> Tensor:
        """Where active, the multiple of the normal that is v's part along it, ``(..., 1)``."""
        part = (self.normal * v).sum(-1, keepdim=True) / self.normal.square().sum(-1, keepdim=True)
        return torch.where(active, part, 0.0)

    def project(self, v: Tensor) -> Tensor:
        """Takes back what exceeds the offset."""
        multiple = self._excess(v).clamp_min(0.0) / self.normal.square().sum(-1, keepdim=True)
        return v - self.normal * multiple

    def project_tangent(self, z: Tensor, v: Tensor) -> Tensor:
        """On the boundary, v without its part along the normal."""
        size = (self.normal * z).abs().sum(-1, keepdim=True) + torch.as_tensor(column(self.offset)).abs()
        active = self._excess(z) >= -_FLAT * torch.finfo(z.dtype).eps * size
        return v - self.normal * self._share(v, active)

    def parameter_gradients(self, v: Tensor, z: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
        """From z = v - multiple normal, with the multiple that puts z on the boundary."""
        active = self._excess(v) > 0
        share = self._share(grad, active)
        multiple = self._share(v - z, active)
        return -multiple * (grad - self.normal * share) - share * z, share.squeeze(-1)


@dataclass(frozen=True, eq=False)
class AffineSet(Polyhedron):
    """A z = b.

    Attributes:
        A: linearly independent rows, ``(..., p, dim)``.
        b: ``(..., p)``.
    """

    A: Tensor
    b: Tensor

    def __post_init__(self) -> None:
        if self.A.ndim < 2 or self.b.ndim < 1 or self.b.shape[-1] != self.A.shape[-2]:
            raise ArgumentError(
                f"A has shape {tuple(self.A.shape)} and b {tuple(self.b.shape)}; expected (..., p, dim) and (..., p)."
            )
        p, dim = self.A.shape[-2:]
        _, triangle = self._factors()
        size = triangle.diagonal(dim1=-2, dim2=-1).abs()
        floor = 100 * torch.finfo(size.dtype).eps * torch.linalg.vector_norm(self.A.detach(), dim=(-2, -1))
        if p > dim or not bool((size > floor.unsqueeze(-1)).all()):
            raise ArgumentError(f"A's {p} rows over {dim} variables are not linearly independent; leave some out.")

    def _factors(self) -> tuple[Tensor, Tensor]:
        """A^T = Y R with orthonormal columns Y ``(..., dim, p)``."""
        return torch.linalg.qr(self.A.detach().mT)

    def project(self, v: Tensor) -> Tensor:
        """Replaces v's part in the span of the rows by the one that solves the equations."""
        basis, triangle = self._factors()
        given = solve_triangular(triangle.mT, self.b.unsqueeze(-1), upper=False)
        return v - (basis @ (basis.mT @ v.unsqueeze(-1) - given)).squeeze(-1)

    def project_tangent(self, z: Tensor, v: Tensor) -> Tensor:
        """V without its part in the span of the rows."""
        basis, _ = self._factors()
        return v - (basis @ (basis.mT @ v.unsqueeze(-1))).squeeze(-1)

    def parameter_gradients(self, v: Tensor, z: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
        """From z + A^T y = v and A z = b."""
        basis, triangle = self._factors()
        y = solve_triangular(triangle, basis.mT @ (v - z).unsqueeze(-1), upper=True)
        c = solve_triangular(triangle, basis.mT @ grad.unsqueeze(-1), upper=True)
        along = self.project_tangent(z, grad)
        return -(y @ along.unsqueeze(-2) + c @ z.unsqueeze(-2)), c.squeeze(-1)
