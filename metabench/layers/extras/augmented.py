"""Extra zero channels, which let an ODE layer represent maps whose paths would have to cross."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import pad

from metabench.errors import ArgumentError

__all__ = ["append_zeros", "drop_channels"]


def append_zeros(z: Tensor, channels: int) -> Tensor:
    """Appends zero channels to a state: ``(..., dim) -> (..., dim + channels)``.

    Raises:
        ArgumentError: if ``channels`` is negative.

    Reference: Dupont, Doucet and Teh (2019), arXiv:1904.01681.
    """
    if channels < 0:
        raise ArgumentError(f"channels={channels}: expected at least 0.")
    return pad(z, (0, channels))


def drop_channels(z: Tensor, channels: int) -> Tensor:
    """Leaves out the last channels, the ones that :func:`append_zeros` added: ``(..., dim + channels) -> (..., dim)``.

    Raises:
        ArgumentError: if ``channels`` is negative or no channel would be left.
    """
    if not 0 <= channels < z.shape[-1]:
        raise ArgumentError(f"channels={channels} of a state {tuple(z.shape)}: expected at least 0 and fewer than all.")
    return z[..., : z.shape[-1] - channels]
