"""The torch module of an architecture, with the seeds of one training batched."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from metabench.blocks.block import stacked_normal
from metabench.blocks.solving import SolveSettings, make_block
from metabench.layers import SolveRecord
from metabench.seeding import torch_generator
from metabench.spaces.architecture import Architecture

__all__ = ["Network"]


class Network(nn.Module):
    """Linear stem, one block a stage, linear head; every parameter has a leading replicate axis.

    Args:
        architecture: the blocks.
        inputs: input dimension.
        outputs: number of classes.
        width: state dimension.
        seeds: one replicate a seed. A replicate's initial weights depend on its seed and on each block's place and name
            only, not on the other replicates or blocks.
        settings: how implicit blocks are solved; None leaves it to them.
    """

    def __init__(
        self,
        architecture: Architecture,
        inputs: int,
        outputs: int,
        width: int,
        seeds: Sequence[int],
        settings: SolveSettings | None = None,
    ) -> None:
        super().__init__()

        def generators(*path: int | str) -> list[torch.Generator]:
            return [torch_generator("initial weights", seed, *path) for seed in seeds]

        self.stem_weight = stacked_normal((width, inputs), inputs**-0.5, generators("stem"))
        self.stem_bias = nn.Parameter(torch.zeros(len(seeds), 1, width))
        self.blocks = nn.ModuleList(
            make_block(name, width, generators("block", i, name), settings)
            for i, name in enumerate(architecture.blocks)
        )
        self.head_weight = stacked_normal((outputs, width), width**-0.5, generators("head"))
        self.head_bias = nn.Parameter(torch.zeros(len(seeds), 1, outputs))

    def forward(self, x: Tensor) -> tuple[Tensor, list[SolveRecord]]:
        """Maps x ``(replicates, batch, inputs)`` to logits ``(replicates, batch, outputs)`` and one record a block."""
        h = torch.baddbmm(self.stem_bias, x, self.stem_weight.mT)
        records: list[SolveRecord] = []
        for block in self.blocks:
            h, record = block(h)
            records.append(record)
        return torch.baddbmm(self.head_bias, h, self.head_weight.mT), records
