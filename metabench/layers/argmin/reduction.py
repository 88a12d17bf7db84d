"""A quadratic program in the metric of Q, its equalities solved: what is left is a program in the multipliers."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.linalg import solve_triangular

__all__ = ["Reduction", "apply", "reduce_program"]


def apply(matrix: Tensor, vector: Tensor) -> Tensor:
    """``matrix @ vector`` for ``(..., rows, dim)`` and ``(..., dim)``; one product when the matrix is shared."""
    return vector @ matrix.mT if matrix.ndim == 2 else (matrix @ vector.unsqueeze(-1)).squeeze(-1)


def _solve(triangle: Tensor, vector: Tensor, *, upper: bool) -> Tensor:
    """``triangle^-1 vector`` for ``(..., dim, dim)`` and ``(..., dim)``."""
    if triangle.ndim == 2:
        flat = vector.reshape(vector.shape[:-1].numel(), vector.shape[-1])
        return solve_triangular(triangle, flat.mT, upper=upper).mT.reshape(vector.shape)
    return solve_triangular(triangle, vector.unsqueeze(-1), upper=upper).squeeze(-1)


@dataclass(frozen=True)
class Reduction:
    """The factors that every solve with one set of matrices shares.

    With Q = L L^T and x = L^T z, the program is a projection: the least ``|x + L^-1 q|^2`` subject to the constraints.
    Y spans the equality rows in x, so x = Y c + t with c given and t in its complement. A row of G acts on t through
    its part in the complement, scaled to length one: that part is a row of ``normals``.

    Attributes:
        factor: L, ``(..., n, n)``.
        basis: Y, ``(..., n, p)``.
        triangle: R with L^-1 A^T = Y R, ``(..., p, p)``.
        normals: ``(..., m, n)``.
        along: the scaled rows' parts along Y, ``(..., m, p)``.
        scale: what each row of G was multiplied by, ``(..., m)``.
        gram: normals normals^T, ``(..., m, m)``.
        positive: which Q are positive definite, ``(...)``.
        independent: which A have linearly independent rows, ``(...)``.
    """

    factor: Tensor
    basis: Tensor
    triangle: Tensor
    normals: Tensor
    along: Tensor
    scale: Tensor
    gram: Tensor
    positive: Tensor
    independent: Tensor

    def multiplier_data(self, q: Tensor, b: Tensor, h: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """The data of the program in the multipliers, and the point that it starts from.

        Args:
            q: linear term, ``(..., n)``.
            b: right-hand side of the equalities, ``(..., p)``.
            h: right-hand side of the inequalities, ``(..., m)``.

        Returns:
            The scaled slack at the solution without inequalities, ``(..., m)``; that solution in x, ``(..., n)``; and
            L^-1 q.
        """
        whitened = _solve(self.factor, q, upper=False)
        given = _solve(self.triangle.mT, b, upper=False)
        along = apply(self.basis, given + apply(self.basis.mT, whitened))
        free = along - whitened
        slack = h * self.scale - apply(self.along, given) + apply(self.normals, whitened)
        return slack, free, whitened

    def recover(self, free: Tensor, whitened: Tensor, multiplier: Tensor) -> tuple[Tensor, Tensor]:
        """z ``(..., n)`` and the equality multipliers ``(..., p)`` for scaled inequality multipliers ``(..., m)``."""
        x = free - apply(self.normals.mT, multiplier)
        z = _solve(self.factor.mT, x, upper=True)
        force = apply(self.basis.mT, x + whitened) + apply(self.along.mT, multiplier)
        return z, -_solve(self.triangle, force, upper=True)


def reduce_program(Q: Tensor, A: Tensor, G: Tensor) -> Reduction:
    """Factors Q ``(..., n, n)``, solves the equalities A ``(..., p, n)``, scales the inequalities G ``(..., m, n)``.

    A dependent row of A is left out and its sample marked; a row of G without a part in the complement of A only
    says whether the sample is feasible: its normal is zero.
    """
    epsilon = torch.finfo(Q.dtype).eps
    factor, info = torch.linalg.cholesky_ex(Q)
    basis, triangle = torch.linalg.qr(solve_triangular(factor, A.mT, upper=False))
    size = triangle.diagonal(dim1=-2, dim2=-1).abs()
    dependent = size <= 100 * epsilon * size.amax(-1, keepdim=True) if A.shape[-2] else size > 0
    if bool(dependent.any()):
        basis = basis.masked_fill(dependent.unsqueeze(-2), 0.0)
        triangle = triangle.masked_fill(dependent.unsqueeze(-1), 0.0) + torch.diag_embed(dependent.to(Q.dtype))
    rows = solve_triangular(factor, G.mT, upper=False).mT
    along = rows @ basis
    normals = rows - along @ basis.mT
    length, full = torch.linalg.vector_norm(normals, dim=-1), torch.linalg.vector_norm(rows, dim=-1)
    flat = length <= 100 * epsilon * full
    if bool(flat.any()):
        normals, length = normals.masked_fill(flat.unsqueeze(-1), 0.0), torch.where(flat, full, length)
    scale = torch.where(length > 0, length, 1.0).reciprocal()
    normals, along = normals * scale.unsqueeze(-1), along * scale.unsqueeze(-1)
    return Reduction(
        factor, basis, triangle, normals, along, scale, normals @ normals.mT, info == 0, ~dependent.any(-1)
    )
