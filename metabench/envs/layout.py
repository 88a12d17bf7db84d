"""The cells of a grid world and how moves lead from one to another."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

__all__ = ["MOVES", "Layout"]

MOVES: tuple[tuple[int, int], ...] = ((0, 0), (0, 1), (1, 0), (0, -1), (-1, 0))
"""(dx, dy) of the actions 0 to 4: stay, up, right, down, left."""


@dataclass(frozen=True)
class Layout:
    """Cells by their coordinates; what is not a cell is wall.

    Attributes:
        cells: ``(x, y)`` of each cell; a cell's number is its place here.
    """

    cells: tuple[tuple[int, int], ...]

    @property
    def width(self) -> int:
        """Columns, from x = 0 on."""
        return 1 + max(x for x, _ in self.cells)

    @property
    def height(self) -> int:
        """Rows, from y = 0 on."""
        return 1 + max(y for _, y in self.cells)

    def index(self, cell: tuple[int, int]) -> int:
        """The number of the cell at ``(x, y)``."""
        return self.cells.index(cell)

    def next_cells(self) -> list[list[int]]:
        """``[cell][action]`` -> the cell reached; a move into a wall stays."""
        numbers = {cell: i for i, cell in enumerate(self.cells)}
        return [[numbers.get((x + dx, y + dy), i) for dx, dy in MOVES] for i, (x, y) in enumerate(self.cells)]

    def coordinates(self, device: torch.device | str = "cpu") -> Tensor:
        """``(cells, 2)`` float32: each cell's x and y, which is also its observation."""
        return torch.tensor(self.cells, dtype=torch.float32, device=device)

    def cell_of(self, obs: Tensor) -> Tensor:
        """The numbers ``(...)`` int64 of the cells that observations ``(..., 2)`` show; -1 for a wall."""
        lookup = torch.full((self.width, self.height), -1, dtype=torch.int64, device=obs.device)
        places: Sequence[Sequence[int]] = tuple(zip(*self.cells, strict=True))
        lookup[list(places[0]), list(places[1])] = torch.arange(len(self.cells), device=obs.device)
        x, y = obs.round().long().unbind(-1)
        return lookup[x, y]
