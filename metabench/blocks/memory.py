"""Memory cells m' = cell(m, e): what a recurrent belief encoder is made of. Every block is one, by its name.

A block solves for a state; a memory cell also has to keep one. So the block makes the candidate and a gate decides how
much of it is kept, as in a gated recurrent unit:

    c  = layer-norm(block(m + V e))      the block's lift decides how the candidate is solved
    m' = m + g (c - m),  g = sigmoid(A e + B m + b)

The state enters the block where blocks take theirs, is injected, and stays bounded. The gate is the same for all
blocks, so two cells differ in the block alone. ``gru`` is the usual gated recurrent unit, without the detour.

Time is regular: every environment here steps by one, so a cell is told of no gap between its inputs, and a block that
integrates (``gated.ode``, ``mlp.ode``) does so over its own unit interval at every step.
"""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor, nn
from torch.nn.functional import layer_norm, linear

from metabench.blocks import BLOCKS
from metabench.blocks.tally import EXPLICIT, SolveMeans, SolveTally

__all__ = ["BlockMemory", "GRUMemory", "MemoryCell", "make_memory_cell", "memory_cell_names"]

GATE_BIAS = -1.0  # keep about three quarters of the state a step at initialisation


class MemoryCell(nn.Module, ABC):
    """A recurrence on states ``(batch, width)``, zero at first.

    Attributes:
        width: state dimension.
    """

    width: int

    @abstractmethod
    def step(self, memory: Tensor, entry: Tensor) -> Tensor:
        """The next state ``(batch, width)`` from a state ``(batch, width)`` and an input ``(batch, inputs)``."""

    @abstractmethod
    def unroll(self, memory: Tensor, entries: Tensor) -> Tensor:
        """All states ``(steps, batch, width)`` after each of ``entries`` ``(steps, batch, inputs)``."""

    @abstractmethod
    def take_solves(self) -> SolveMeans:
        """What a step cost on average, of those trained through since the last time."""


class GRUMemory(MemoryCell):
    """``gru``: a whole trajectory is one call."""

    def __init__(self, inputs: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.width = width
        self.W = nn.Parameter(_orthogonal(3, width, width, generator))
        self.U = nn.Parameter(_orthogonal(3, width, inputs, generator))
        self.b = nn.Parameter(torch.zeros(3 * width))
        self.c = nn.Parameter(torch.zeros(3 * width))  # inside the reset gate's product, so not the same as b

    def step(self, memory: Tensor, entry: Tensor) -> Tensor:
        return torch.gru_cell(entry, memory, self.U, self.W, self.b, self.c)

    def unroll(self, memory: Tensor, entries: Tensor) -> Tensor:
        weights: list[Tensor] = [self.U, self.W, self.b, self.c]
        states, _ = torch.gru(entries, memory[None], weights, True, 1, 0.0, self.training, False, False)
        return states

    def take_solves(self) -> SolveMeans:
        return EXPLICIT


class BlockMemory(MemoryCell):
    """Any registered block as the candidate of a gated memory; see the module's docstring.

    Args:
        block: registered name.
        inputs: dimension of an input.
        width: state dimension.
        generator: of the initial weights.
    """

    def __init__(self, block: str, inputs: int, width: int, generator: torch.Generator) -> None:
        super().__init__()
        self.width = width
        self.block = BLOCKS.get(block)(width, [generator])
        self.V = nn.Parameter(torch.randn(width, inputs, generator=generator) * inputs**-0.5)
        self.A = nn.Parameter(torch.randn(width, inputs, generator=generator) * inputs**-0.5)
        self.B = nn.Parameter(torch.randn(width, width, generator=generator) * width**-0.5)
        self.b = nn.Parameter(torch.full((width,), GATE_BIAS))
        self._tally = SolveTally()

    def step(self, memory: Tensor, entry: Tensor) -> Tensor:
        return self._step(memory, linear(entry, self.V), linear(entry, self.A, self.b))

    def unroll(self, memory: Tensor, entries: Tensor) -> Tensor:
        states = []
        for injected, gate in zip(linear(entries, self.V), linear(entries, self.A, self.b), strict=True):
            memory = self._step(memory, injected, gate)
            states.append(memory)
        return torch.stack(states)

    def take_solves(self) -> SolveMeans:
        return self._tally.take()

    def _step(self, memory: Tensor, injected: Tensor, gate: Tensor) -> Tensor:
        solved, record = self.block((memory + injected)[None])  # one replicate
        self._tally.add(record)
        candidate = layer_norm(solved[0], (self.width,))
        return torch.lerp(memory, candidate, torch.sigmoid(gate + linear(memory, self.B)))


def memory_cell_names() -> tuple[str, ...]:
    """The names of all memory cells: every block but ``skip``."""
    return tuple(name for name in BLOCKS.names() if name != "skip")


def make_memory_cell(name: str, inputs: int, width: int, generator: torch.Generator) -> MemoryCell:
    """The memory cell called ``name``.

    Raises:
        UnknownNameError: with the nearest name.
    """
    return GRUMemory(inputs, width, generator) if name == "gru" else BlockMemory(name, inputs, width, generator)


def _orthogonal(maps: int, rows: int, columns: int, generator: torch.Generator) -> Tensor:
    """Stacked maps, each with orthonormal rows or columns: ``(maps rows, columns)``."""
    parts = [nn.init.orthogonal_(torch.empty(rows, columns), generator=generator) for _ in range(maps)]
    return torch.cat(parts)
