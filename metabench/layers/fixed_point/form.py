"""Maps written out, so that a compiled loop can run them: an affine map of the state and what follows it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["Form", "Kind", "Known", "Pullback"]

Kind = Literal["tanh", "gated", "pullback", "box", "simplex", "face", "centred face"]


@dataclass(frozen=True)
class Form:
    """A map of states z ``(replicates, batch, dim)``; a = z W + offset, with a W for each replicate.

    ============== ====================================================================================================
    kind           image
    ============== ====================================================================================================
    tanh           tanh(a)
    gated          c + c g with c and g the halves of tanh(a)
    pullback       offset + ((z, ..., z) * factors) W, a linear map through ``k`` affine ones
    box            reflection of a: 2 P(a) - a, P the clip to ``bounds``; the value asked for is P(a)
    simplex        the same, P the projection on the simplex of radius ``bounds[0]``
    face           the same, P(a) = a * factors
    centred face   the same, P(a) = (a - its mean over the face) * factors
    ============== ====================================================================================================

    Attributes:
        kind: what follows the affine map.
        weight: W, ``(replicates, dim, rows)``; for a pullback ``(replicates, k dim, dim)``.
        offset: ``(replicates, batch, rows)``.
        factors: of a pullback ``(replicates, batch, k dim)``; of a face 1 where an entry is free, else 0.
        bounds: two numbers.
    """

    kind: Kind
    weight: Tensor
    offset: Tensor
    factors: Tensor | None = None
    bounds: tuple[float, float] = (0.0, 0.0)


@dataclass(frozen=True)
class Known:
    """A function ``f(z, *inputs)`` with its form.

    Attributes:
        f: the function.
        form: ``form(*inputs)``, equal to it up to rounding.
    """

    f: Callable[..., Tensor]
    form: Callable[..., Form]

    def __call__(self, z: Tensor, *inputs: Tensor) -> Tensor:
        return self.f(z, *inputs)


@dataclass(frozen=True)
class Pullback:
    """The function (u, w) -> w + ((u, ..., u) * factors) W: vector-Jacobian products through ``k`` affine maps.

    Attributes:
        weight: W, ``(replicates, k dim, dim)``.
        factors: ``(replicates, batch, k dim)``.
    """

    weight: Tensor
    factors: Tensor

    def __call__(self, u: Tensor, w: Tensor) -> Tensor:
        k = self.weight.shape[-2] // u.shape[-1]
        wide = u * self.factors if k == 1 else (u.unsqueeze(-2) * self.factors.unflatten(-1, (k, -1))).flatten(-2)
        return torch.baddbmm(w, wide, self.weight)

    def form(self, w: Tensor) -> Form:
        """That of u -> w + the products with u."""
        return Form("pullback", self.weight, w, self.factors)
