"""One evaluation with a graph at a solved value."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from metabench.layers.record import SolveRecord, SolveStatus

__all__ = ["attached_image"]


def attached_image(
    f: Callable[..., Tensor], value: Tensor, inputs: Sequence[Tensor] | None, record: SolveRecord
) -> tuple[Tensor, Tensor, Tensor | None]:
    """Evaluates ``f`` at ``value`` ``(..., dim)`` with a graph, and counts it.

    A sample that diverged must not reach the others' gradient through the weights they share (0 times NaN is NaN): its
    inputs are replaced by zeros, and its image by its value.

    Returns:
        The leaf z*, its image, and the mask ``(..., 1)`` of diverged samples, or None if there are none.
    """
    record.nfe = record.nfe + 1
    leaf = value.detach().requires_grad_()
    diverged = record.status == SolveStatus.DIVERGED.code
    if not bool(diverged.any()):
        return leaf, f(leaf, *(inputs or ())), None
    bad = diverged[..., None]
    safe = None if inputs is None else [x.masked_fill(bad, 0.0) for x in inputs]
    image = f(leaf.masked_fill(bad, 0.0), *(safe or ()))
    return leaf, torch.where(bad, value, image), bad
