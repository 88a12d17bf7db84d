"""One evaluation with a graph at a solved value, and the linearisation there."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from metabench.layers.record import SolveRecord, SolveStatus

__all__ = ["attached_image", "linearised", "spare_diverged"]


def spare_diverged(
    record: SolveRecord, tensors: Sequence[Tensor] | None
) -> tuple[Tensor | None, Sequence[Tensor] | None]:
    """Zeros in the place of diverged samples: 0 times NaN is NaN, and would reach the weights that samples share.

    Returns:
        The mask ``(..., 1)`` of diverged samples, None if there are none, and the ``tensors`` ``(..., k)``.
    """
    diverged = record.status == SolveStatus.DIVERGED.code
    if not bool(diverged.any()):
        return None, tensors
    bad = diverged[..., None]
    return bad, None if tensors is None else [x.masked_fill(bad, 0.0) for x in tensors]


def attached_image(
    f: Callable[..., Tensor], value: Tensor, inputs: Sequence[Tensor] | None, record: SolveRecord
) -> tuple[Tensor, Tensor | None]:
    """Evaluates ``f`` at the constant ``value`` ``(..., dim)`` with a graph to all else, and counts it.

    Returns:
        The image, and the mask ``(..., 1)`` of diverged samples, whose image is their value and passes no gradient on;
        None if there are none.
    """
    record.nfe = record.nfe + 1
    bad, safe = spare_diverged(record, inputs)
    if bad is None:
        return f(value, *(safe or ())), None
    return torch.where(bad, value, f(value.masked_fill(bad, 0.0), *(safe or ()))), bad


@torch.enable_grad()
def linearised(f: Callable[..., Tensor], value: Tensor, inputs: Sequence[Tensor] | None) -> tuple[Tensor, Tensor]:
    """A leaf at ``value`` and its image, for products with df/dz; ``inputs`` are taken as constants."""
    leaf = value.detach().requires_grad_()
    return leaf, f(leaf, *(x.detach() for x in inputs or ()))
