"""Dense Jacobians of a map that acts on each sample separately."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["jacobian"]


def jacobian(image: Tensor, leaf: Tensor) -> Tensor:
    """d image / d leaf of each sample, ``(..., dim, dim)``, by one batched vector-Jacobian product.

    Args:
        image: ``(..., dim)``, with a graph to ``leaf``; the graph is kept.
        leaf: ``(..., dim)``.
    """
    dim = image.shape[-1]
    if not image.requires_grad or image.numel() == 0:
        return image.new_zeros(*image.shape, dim)
    rows = torch.eye(dim, dtype=image.dtype, device=image.device)
    rows = rows.view(dim, *[1] * (image.ndim - 1), dim).expand(dim, *image.shape)
    try:
        (found,) = torch.autograd.grad(image, leaf, rows, retain_graph=True, allow_unused=True, is_grads_batched=True)
    except RuntimeError:  # an operation without a batching rule: one product a row
        products = [torch.autograd.grad(image, leaf, row, retain_graph=True, allow_unused=True)[0] for row in rows]
        found = None if products[0] is None else torch.stack(products)
    return image.new_zeros(*image.shape, dim) if found is None else found.movedim(0, -2)
