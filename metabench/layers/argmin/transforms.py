"""What an optimisation layer says under ``torch.func``."""

from __future__ import annotations

from metabench.errors import DifferentiationError
from metabench.layers.transforms import under_transform

__all__ = ["refuse_transform"]


def refuse_transform(what: str) -> None:
    """Raises under any ``torch.func`` transform.

    Raises:
        DifferentiationError: naming what works instead.
    """
    if under_transform():
        raise DifferentiationError(
            f"{what} under a torch.func transform: not available; give it the whole batch and use torch.autograd.grad."
        )
