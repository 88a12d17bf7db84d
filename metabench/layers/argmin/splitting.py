"""Splittings for 0 in A z - p + N_C(z): quadratic programs and monotone equilibria alike."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.layers.argmin.onto import Projection
from metabench.layers.fixed_point.form import Form
from metabench.layers.fixed_point.mapping import Mapping
from metabench.layers.fixed_point.solver import Take

__all__ = ["ForwardBackward", "PeacemanRachford", "resolvent", "spectral_bound", "step_size"]

_SQUARINGS = 3


def spectral_bound(A: Tensor) -> Tensor:
    """An estimate of the spectral norm of ``A`` ``(..., dim, dim)``, shape ``(..., 1, 1)``: eight power iterations.

    They are three squarings of A^T A: few large products instead of many small ones.
    """
    tiny = torch.finfo(A.dtype).tiny
    size = A.abs().sum(-1).amax(-1)[..., None, None].clamp_min(tiny)
    scaled = A / size
    power = scaled.mT @ scaled
    for _ in range(_SQUARINGS):
        power = power @ power
        power = power / power.diagonal(dim1=-2, dim2=-1).amax(-1)[..., None, None].clamp_min(tiny)
    v = power.sum(-1, keepdim=True)
    v = v / torch.linalg.vector_norm(v, dim=-2, keepdim=True).clamp_min(tiny)
    return size * torch.linalg.vector_norm(scaled @ v, dim=-2, keepdim=True)


def step_size(A: Tensor, modulus: float) -> Tensor:
    """Step 1 / sqrt(modulus * L), ``(..., 1, 1)``, L an estimate of the spectral norm of ``A`` ``(..., dim, dim)``.

    It is the best step for a symmetric A with eigenvalues in [modulus, L]; any positive step converges.
    """
    return (modulus * spectral_bound(A).clamp_min(modulus)).rsqrt()


def resolvent(A: Tensor, step: Tensor) -> Tensor:
    """(I + step A)^-1 for ``A`` ``(..., dim, dim)``; a non-finite A gives a non-finite answer, not an error."""
    eye = torch.eye(A.shape[-1], dtype=A.dtype, device=A.device)
    return torch.linalg.inv_ex(eye + step * A).inverse


@dataclass(frozen=True)
class PeacemanRachford(Mapping):
    """u -> R_C R_A u, the product of two reflections, whose fixed point projects to the solution.

    Attributes:
        reflection: (2 (I + step A)^-1 - I)^T, ``(..., dim, dim)``, shared by the samples of the last batch axis.
        offset: 2 step (I + step A)^-1 p, ``(..., batch, dim)``.
        project: projection onto C, or a subspace that may belong to the sample: ``project(v, z)``.
        point: what goes to ``project`` as z, ``(..., batch, dim)``, or None.

    Reference: Winston and Kolter (2020), arXiv:2006.08591; Lions and Mercier (1979), SIAM J. Numer. Anal. 16.
    """

    reflection: Tensor
    offset: Tensor
    project: Projection
    point: Tensor | None = None

    @staticmethod
    def make(
        inverse: Tensor,
        step: Tensor,
        p: Tensor,
        project: Projection,
        point: Tensor | None = None,
    ) -> PeacemanRachford:
        """From (I + step A)^-1 and p."""
        eye = torch.eye(inverse.shape[-1], dtype=inverse.dtype, device=inverse.device)
        return PeacemanRachford((2 * inverse - eye).mT.contiguous(), (2 * step * p) @ inverse.mT, project, point)

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        reflected = torch.baddbmm(self.offset, z, self.reflection) if z.ndim == 3 else z @ self.reflection + self.offset
        value = self.project(reflected, self.point)
        return value.mul(2.0).sub_(reflected), value

    def narrow(self, take: Take) -> PeacemanRachford:
        """Takes the samples' offsets."""
        point = None if self.point is None else take(self.point)
        return PeacemanRachford(self.reflection, take(self.offset), self.project, point)

    def form(self) -> Form | None:
        """Where the projection is known and there is a reflection for each replicate."""
        known = self.project.known(self.point) if self.reflection.ndim == 3 else None
        return None if known is None else Form(known[0], self.reflection, self.offset, known[1], known[2])


@dataclass(frozen=True)
class ForwardBackward(Mapping):
    """z -> Proj_C(z - step (A z - p)): no inverse, a contraction for steps below 2 modulus / L^2.

    Attributes:
        forward: (I - step A)^T, ``(..., dim, dim)``.
        offset: step p, ``(..., batch, dim)``.
        project: as for :class:`PeacemanRachford`.
        point: as for :class:`PeacemanRachford`.

    Reference: Winston and Kolter (2020), arXiv:2006.08591, section 3.
    """

    forward: Tensor
    offset: Tensor
    project: Projection
    point: Tensor | None = None

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        value = self.project(z @ self.forward + self.offset, self.point)
        return value, value

    def narrow(self, take: Take) -> ForwardBackward:
        """Takes the samples' offsets."""
        point = None if self.point is None else take(self.point)
        return ForwardBackward(self.forward, take(self.offset), self.project, point)
