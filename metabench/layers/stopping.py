"""When an iterative solve may stop."""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor

from metabench.errors import ArgumentError

__all__ = ["Tolerance", "root_mean_square"]

_FLOOR = 8.0  # multiples of the dtype's resolution below which a relative residual is rounding noise


def root_mean_square(value: Tensor) -> Tensor:
    """Root-mean-square over the last axis, shape ``(...)``."""
    return torch.linalg.vector_norm(value, dim=-1) / max(value.shape[-1], 1) ** 0.5


@dataclass(frozen=True)
class Tolerance:
    """Per-sample stopping rule: rms(residual) <= atol + rtol * rms(z), never asked to go under the dtype's resolution.

    Attributes:
        atol: absolute tolerance, in units of the state.
        rtol: relative tolerance.
        max_steps: iterations after which a sample is given up.
        check_every: steps from one check to the next, None as the solver advises; a check costs about an evaluation of
            a small cell, and a sample can only end at one.
    """

    atol: float = 1e-6
    rtol: float = 1e-5
    max_steps: int = 100
    check_every: int | None = None

    def __post_init__(self) -> None:
        if self.atol < 0 or self.rtol < 0 or self.atol + self.rtol == 0:
            raise ArgumentError(f"atol={self.atol}, rtol={self.rtol}: expected both >= 0 and one > 0.")
        if self.max_steps < 1:
            raise ArgumentError(f"max_steps={self.max_steps}: expected at least 1.")
        if self.check_every is not None and self.check_every < 1:
            raise ArgumentError(f"check_every={self.check_every}: expected at least 1.")

    def threshold(self, size: Tensor) -> Tensor:
        """The largest residual that counts as converged for values of rms ``size``, shape ``(...)``."""
        rtol, atol = self.limits(size.dtype)
        return size * rtol + atol

    def limits(self, dtype: torch.dtype) -> tuple[float, float]:
        """The relative part, not under the resolution of ``dtype``, and the absolute part."""
        return max(self.rtol, _FLOOR * torch.finfo(dtype).eps), self.atol

    def relative(self) -> Tolerance:
        """The same rule without the absolute part, for adjoint solves: a gradient's scale is arbitrary."""
        return replace(self, atol=0.0, rtol=self.rtol or self.atol)
