"""A value whose incoming gradient is replaced by what a solve makes of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from metabench.layers.adjoint.first_order import refuse_second_order

__all__ = ["replace_gradient"]


class _ReplaceGradient(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, image: Tensor, solve: Callable[[Tensor], Tensor], what: str) -> Tensor:
        ctx.solve, ctx.what = solve, what
        return image.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor, None, None]:
        refuse_second_order(ctx.what)
        return ctx.solve(grads[0]), None, None


def replace_gradient(image: Tensor, solve: Callable[[Tensor], Tensor], what: str) -> Tensor:
    """The ``image`` of a solution, through which a gradient w goes back as u = ``solve(w)``.

    Raises:
        DifferentiationError: from the backward pass, for a second derivative; ``what`` names the adjoint.
    """
    return _ReplaceGradient.apply(image, solve, what)  # pyright: ignore[reportReturnType]
