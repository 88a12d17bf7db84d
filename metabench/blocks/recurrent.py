"""The gated recurrent unit as a block: one explicit, gated step; the usual memory cell of a belief encoder."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm

from metabench.blocks.block import Block, stacked_normal
from metabench.layers import SolveRecord

__all__ = ["GRU"]


class GRU(Block):
    """``gru``: one step from the state h on the input x = layer-norm(h), as every block has it.

    As a memory cell, ``gru`` takes its input apart from its state (see :mod:`metabench.blocks.memory`).
    """

    citation = "Cho et al. (2014), Learning phrase representations using RNN encoder-decoder, arXiv:1406.1078"

    def __init__(self, width: int, generators: Sequence[torch.Generator]) -> None:
        super().__init__(width, generators)
        self.W = stacked_normal((3 * width, width), width**-0.5, generators)
        self.U = stacked_normal((3 * width, width), width**-0.5, generators)
        self.b = nn.Parameter(torch.zeros(len(generators), 1, 3 * width))

    def forward(self, h: Tensor) -> tuple[Tensor, SolveRecord]:
        """h + (1 - u)(n - h), n = tanh(U_n x + r W_n h)."""
        r_x, u_x, n_x = torch.baddbmm(self.b, layer_norm(h, h.shape[-1:]), self.U.mT).chunk(3, dim=-1)
        r_h, u_h, n_h = (h @ self.W.mT).chunk(3, dim=-1)
        candidate = torch.tanh(n_x + torch.sigmoid(r_x + r_h) * n_h)
        out = h + (1 - torch.sigmoid(u_x + u_h)) * (candidate - h)
        return out, SolveRecord.explicit(out, nfe=1)
