"""The empty block."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metabench.blocks.block import Block
from metabench.layers import SolveRecord

__all__ = ["Skip"]


class Skip(Block):
    """h, unchanged; canonical architectures leave it out."""

    def __init__(self, width: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__(width, generators)

    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        """The identity; no evaluations."""
        return h, SolveRecord.explicit(h, nfe=0)
