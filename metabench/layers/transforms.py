"""Which function transforms a solve runs under, and what to say where it cannot."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.forward_ad import unpack_dual

from metabench.errors import DifferentiationError

__all__ = ["is_differentiated", "refuse_transform", "refuse_vmap", "under_transform", "under_vmap"]

_functorch: Any = torch._C.__dict__["_functorch"]


def under_transform() -> bool:
    """Whether a ``torch.func`` transform (grad, vmap, jvp, ...) is active."""
    return _functorch.peek_interpreter_stack() is not None


def under_vmap() -> bool:
    """Whether ``torch.func.vmap`` is among the active transforms, where no value can be read as a number."""
    stack = _functorch.get_interpreter_stack() if under_transform() else None
    return any(level.key() == _functorch.TransformType.Vmap for level in stack or ())


def is_differentiated(value: Tensor) -> bool:
    """Whether anything asks for derivatives of ``value``: a graph, a forward-mode tangent or a transform."""
    return value.requires_grad or under_transform() or unpack_dual(value).tangent is not None


def refuse_vmap(what: str) -> None:
    """Raises under ``torch.func.vmap``: when to stop depends on values.

    Raises:
        DifferentiationError: saying that layers take a batch themselves.
    """
    if under_vmap():
        raise DifferentiationError(
            f"{what} under torch.func.vmap: when to stop depends on the values; give it the whole batch (..., dim), it "
            "solves every sample by itself."
        )


def refuse_transform(what: str) -> None:
    """Raises under any ``torch.func`` transform.

    Raises:
        DifferentiationError: naming what works instead.
    """
    if under_transform():
        raise DifferentiationError(
            f"{what} under a torch.func transform: not available; use torch.autograd.grad, or adjoint=Unrolled() or "
            "Phantom(), which torch.func.grad can differentiate."
        )
