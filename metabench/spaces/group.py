"""Several architectures of one space as one torch module: blocks that stand at the same stage run as one batch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from metabench.blocks.block import Block, stacked_normal
from metabench.blocks.solving import SolveSettings, make_block
from metabench.seeding import torch_generator
from metabench.spaces.architecture import Architecture

__all__ = ["NetworkGroup", "Part"]


@dataclass(frozen=True)
class Part:
    """One block of one stage, with the replicates of all architectures that have it there.

    Attributes:
        name: the block's name.
        block: the module; its replicates are those of ``rows``.
        rows: replicates of the group, ascending, int64 ``(n,)``.
        whole: whether ``rows`` are all the replicates.
    """

    name: str
    block: Block
    rows: Tensor
    whole: bool

    def gather(self, h: Tensor) -> Tensor:
        """The part's rows of ``h`` ``(replicates, ...)``."""
        return h if self.whole else h.index_select(0, self.rows)


class NetworkGroup(nn.Module):
    """Linear stems, stages and linear heads of several architectures; replicate ``i * len(seeds) + j`` is seed j of i.

    Each replicate has the same initial weights as in a :class:`~metabench.spaces.network.Network` of its own.

    Args:
        architectures: the blocks; an architecture with fewer stages than another is passed through at the later ones.
        inputs: input dimension.
        outputs: number of classes.
        width: state dimension.
        seeds: one replicate of every architecture a seed.
        device: where it computes; initial weights are drawn on the CPU, so they are the same everywhere.
        settings: how all implicit blocks are solved; None leaves it to them.
    """

    def __init__(
        self,
        architectures: Sequence[Architecture],
        inputs: int,
        outputs: int,
        width: int,
        seeds: Sequence[int],
        device: torch.device | str = "cpu",
        settings: SolveSettings | None = None,
    ) -> None:
        super().__init__()
        self.architectures, self.seeds = tuple(architectures), tuple(seeds)
        self.replicates = len(self.architectures) * len(self.seeds)

        def generators(count: int, *path: int | str) -> list[torch.Generator]:
            return [torch_generator("initial weights", seed, *path) for _ in range(count) for seed in seeds]

        every = len(self.architectures)
        self.stem_weight = stacked_normal((width, inputs), inputs**-0.5, generators(every, "stem"))
        self.stem_bias = nn.Parameter(torch.zeros(self.replicates, 1, width))
        self.stages: list[list[Part]] = []
        for stage in range(max((len(a.blocks) for a in self.architectures), default=0)):
            members: dict[str, list[int]] = {}
            for i, architecture in enumerate(self.architectures):
                if stage < len(architecture.blocks):
                    members.setdefault(architecture.blocks[stage], []).append(i)
            parts = []
            for name, who in members.items():
                rows = torch.tensor([i * len(self.seeds) + j for i in who for j in range(len(self.seeds))])
                block = make_block(name, width, generators(len(who), "block", stage, name), settings)
                parts.append(Part(name, block, rows.to(device), len(who) == every))
            self.stages.append(parts)
        self.blocks = nn.ModuleList(part.block for part in self.parts)
        self.head_weight = stacked_normal((outputs, width), width**-0.5, generators(every, "head"))
        self.head_bias = nn.Parameter(torch.zeros(self.replicates, 1, outputs))
        self.to(device)

    @property
    def parts(self) -> list[Part]:
        """The parts of all stages."""
        return [part for parts in self.stages for part in parts]

    def shared_parameters(self) -> list[nn.Parameter]:
        """The parameters that every replicate has: all but the blocks'."""
        own = {id(p) for p in self.blocks.parameters()}
        return [p for p in self.parameters() if id(p) not in own]

    def stem(self, x: Tensor) -> Tensor:
        """States ``(replicates, batch, width)`` of inputs that all share, ``(batch, inputs)``, or one batch a seed."""
        seeds = len(self.seeds)
        shared = x.expand(seeds, *x.shape) if x.ndim == 2 else x
        copies = shared.expand(len(self.architectures), *shared.shape).reshape(self.replicates, *shared.shape[1:])
        return torch.baddbmm(self.stem_bias, copies, self.stem_weight.mT)

    def head(self, h: Tensor) -> Tensor:
        """Logits ``(replicates, batch, outputs)``."""
        return torch.baddbmm(self.head_bias, h, self.head_weight.mT)

    def forward(self, x: Tensor) -> Tensor:
        """Logits ``(replicates, batch, outputs)`` of inputs ``(batch, inputs)``; for evaluation, without a graph."""
        h = self.stem(x)
        for parts in self.stages:
            ahead = h.clone() if not parts[0].whole else h
            for part in parts:
                out, _ = part.block(part.gather(h))
                if part.whole:
                    ahead = out
                else:
                    ahead.index_copy_(0, part.rows, out)
            h = ahead
        return self.head(h)
