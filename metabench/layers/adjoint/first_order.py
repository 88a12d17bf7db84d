"""Layers whose gradient is right once, and which say so when asked for more."""

from __future__ import annotations

import torch

from metabench.errors import DifferentiationError

__all__ = ["refuse_second_order"]


def refuse_second_order(what: str) -> None:
    """Called in a backward pass: raises if that pass is itself being recorded for differentiation.

    torch's ``once_differentiable`` is not enough: when the incoming gradient is a constant it records nothing, and the
    second derivative would silently leave out the solve.

    Raises:
        DifferentiationError: under ``create_graph=True``.
    """
    if torch.is_grad_enabled():
        raise DifferentiationError(
            f"{what}: a second derivative through this adjoint is not available; leave out create_graph=True, or solve "
            "with an unrolled method."
        )
