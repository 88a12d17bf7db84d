"""What every block is: a searchable component that maps a state to a state and reports its solve."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from metabench.layers import SolveRecord

__all__ = ["Block", "stacked_normal"]


class Block(nn.Module, ABC):
    """Maps h ``(replicates, batch, width)`` to the same shape. Each replicate has parameters of its own.

    Subclasses are built as ``cls(width, generators)``, one CPU generator a replicate, so that a replicate's initial
    weights do not depend on which others are batched with it.

    Attributes:
        version: raised when the block's numerics change; it is part of every row's protocol hash.
        citation: where the block comes from.
        heeds: fields of :class:`~metabench.blocks.solving.SolveSettings` that decide how it is solved. A block that
            heeds any takes them as ``cls(width, generators, settings=...)``.
    """

    version: ClassVar[int] = 1
    citation: ClassVar[str] = ""
    heeds: ClassVar[tuple[str, ...]] = ()

    @abstractmethod
    def __init__(self, width: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__()

    @abstractmethod
    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        """Returns the new state and the per-sample record, sample shape ``(replicates, batch)``."""


def stacked_normal(shape: Sequence[int], scale: float, generators: Sequence[torch.Generator]) -> nn.Parameter:
    """Normal draws of standard deviation ``scale``, one independent draw a replicate: ``(replicates, *shape)``."""
    return nn.Parameter(torch.stack([torch.randn(*shape, generator=generator) * scale for generator in generators]))
