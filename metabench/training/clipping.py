"""Gradient clipping, replicate by replicate."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import torch
from torch import Tensor

__all__ = ["clip_factor", "clip_replicates", "scale_gradients", "squared_norms"]


def squared_norms(parameters: Iterable[Tensor]) -> Tensor | None:
    """Squared norm of each replicate's gradient, ``(replicates,)``; parameters have a leading replicate axis.

    None if no parameter has a gradient.
    """
    found = [p.grad.flatten(1).square().sum(1) for p in parameters if p.grad is not None]
    return torch.stack(found).sum(0) if found else None


def scale_gradients(parameters: Iterable[Tensor], factor: Tensor) -> None:
    """Multiplies each replicate's gradient by its ``factor`` ``(replicates,)``."""
    for parameter in parameters:
        if parameter.grad is not None:
            parameter.grad.mul_(factor.view(-1, *[1] * (parameter.ndim - 1)))


def clip_factor(squares: Tensor, limit: float) -> Tensor:
    """Factors ``(replicates,)`` that bring gradients of squared norms ``squares`` to a norm of at most ``limit``."""
    return (limit / (squares.sqrt() + 1e-12)).clamp_max(1.0)


def clip_replicates(parameters: Sequence[Tensor], limit: float) -> None:
    """Clips each replicate's gradient norm over all ``parameters``."""
    squares = squared_norms(parameters)
    if squares is not None:
        scale_gradients(parameters, clip_factor(squares, limit))
