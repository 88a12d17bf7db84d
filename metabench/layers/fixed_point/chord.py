"""The chord method with Broyden's updates: one Jacobian, of one sample, for the whole solve."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import ClassVar

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.fixed_point.solver import FixedPointSolver, Map, Take

__all__ = ["Chord"]


@dataclass
class _Chord:
    seen: int = 0
    inverse: Tensor | None = None  # (I - J)^-T, (..., dim, dim) for sample axes (..., batch)
    steps: list[Tensor] = field(default_factory=list)  # (..., dim), the last ones taken
    duals: list[Tensor] = field(default_factory=list)  # each step over its squared length


@dataclass(frozen=True)
class Chord(FixedPointSolver):
    """z <- z + B (f(z) - z), where B begins as (I - J)^-1 with one J for all samples, and learns from each one's steps.

    J is the Jacobian at the sample whose residual is the batch's median, taken once, by differences: one evaluation of
    dim + 1 samples, and one inverse. Broyden's good method then corrects B sample by sample. Where the map contracts
    slowly, by 0.94 say, that takes about ten steps and Anderson acceleration some forty. With replicates
    ``(replicates, batch, dim)`` each has a J of its own. For states of up to a few hundred dimensions.

    Which sample lends its Jacobian depends on the batch, and so does every sample's path: its value is what it would be
    alone to the tolerance only, and its steps may differ. The Jacobian needs the ``inputs`` of the solve to be named;
    without them, without a batch axis, and where I - J is singular, B begins as the identity, as in
    :class:`~metabench.layers.Broyden`.

    Attributes:
        delay: plain steps before J is taken, for a start that is far off.
        memory: updates kept; when they are so many they are all dropped and B is what it was in the beginning.

    Reference: Kelley (1995), Iterative methods for linear and nonlinear equations, chapters 5 (chord) and 7 (Broyden's
    method as a product of rank-one factors).
    """

    check_every: ClassVar[int] = 4

    delay: int = 0
    memory: int = 20

    def __post_init__(self) -> None:
        if self.delay < 0:
            raise ArgumentError(f"delay={self.delay}: expected at least 0.")
        if self.memory < 1:
            raise ArgumentError(f"memory={self.memory}: expected at least 1.")

    def init(self, z: Tensor) -> _Chord:
        """No Jacobian and no updates yet."""
        return _Chord()

    def step(self, f: Map, z: Tensor, fz: Tensor, state: _Chord) -> tuple[Tensor, _Chord]:
        """A plain step, or a quasi-Newton step."""
        state.seen += 1
        if state.seen <= self.delay:
            return fz, state
        if state.seen == self.delay + 1:
            state.inverse = _inverse(f, z, fz)
        residual = fz - z
        move = residual if state.inverse is None else residual @ state.inverse
        # The update that sends the residuals' difference to the step s is B' = (I + s' s^T / |s|^2) B, where s' is the
        # step that follows. So B is the first inverse times one factor a step, and s' is parallel to B (f(z) - z).
        for dual, following in zip(state.duals, state.steps[1:], strict=False):
            move = torch.addcmul(move, following, torch.linalg.vecdot(dual, move)[..., None])
        if state.duals:
            rest = 1 - torch.linalg.vecdot(state.duals[-1], move)[..., None]
            move = move / torch.where(rest.abs() > torch.finfo(z.dtype).eps, rest, 1.0)
        squared = torch.linalg.vecdot(move, move)[..., None]
        if not math.isfinite(squared.sum().item()):
            move = torch.where(torch.isfinite(squared), move, residual)
            squared = torch.linalg.vecdot(move, move)[..., None]
        if len(state.steps) == self.memory:
            state.steps, state.duals = [], []
        state.steps.append(move)
        state.duals.append(move / squared.clamp_min(torch.finfo(z.dtype).tiny))
        return z + move, state

    def select(self, state: _Chord, take: Take) -> _Chord:
        """The samples' updates; the inverse is everyone's."""
        return _Chord(state.seen, state.inverse, [take(s) for s in state.steps], [take(d) for d in state.duals])


def _inverse(f: Map, z: Tensor, fz: Tensor) -> Tensor | None:
    """(I - J)^-T at the sample with the median residual; None where no other samples can be evaluated."""
    if z.ndim < 2:
        return None
    _, chosen = torch.linalg.vector_norm(fz - z, dim=-1).nanmedian(-1)  # not one that became NaN
    index, dim = chosen[..., None, None], z.shape[-1]

    def pick(t: Tensor) -> Tensor:
        return t.take_along_dim(index, dim=-2)

    around = f.at(lambda t: pick(t).expand(*t.shape[:-2], dim + 1, t.shape[-1]))
    if around is None:
        return None
    centre, image = pick(z), pick(fz)
    # The length hardly matters, since the updates make up for J; where z and f(z) are zero any will do.
    size = torch.linalg.vector_norm(torch.cat((centre, image), -1), dim=-1, keepdim=True) / dim**0.5
    length = torch.where(size > 0, size, torch.ones_like(size)) * torch.finfo(z.dtype).eps ** (1 / 3)
    eye = torch.eye(dim, dtype=z.dtype, device=z.device)
    images = around(centre + length * torch.cat((torch.zeros_like(eye[:1]), eye)))
    columns = (images[..., 1:, :] - images[..., :1, :]) / length  # of J, one below the other
    inverse, _ = torch.linalg.inv_ex(eye - columns)
    # Differences are right to eps^(2/3): a larger inverse would be that of rounding errors.
    sound = torch.linalg.vector_norm(inverse, dim=(-2, -1), keepdim=True) <= torch.finfo(z.dtype).eps ** -0.5
    return inverse if bool(sound.all()) else torch.where(sound, inverse, eye)
