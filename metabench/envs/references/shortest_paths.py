"""Shortest paths in a grid world."""

from __future__ import annotations

import torch
from torch import Tensor

from metabench.envs.layout import MOVES, Layout

__all__ = ["distances", "shortest_moves"]


def distances(layout: Layout) -> Tensor:
    """``(cells, cells)`` int64: steps from the first cell to the second."""
    cells, following = len(layout.cells), torch.tensor(layout.next_cells())
    steps = torch.full((cells, cells), cells)
    steps.fill_diagonal_(0)
    for _ in range(cells):  # one more step of every path in each round
        steps = torch.minimum(steps, 1 + steps[following].amin(1))
    return steps


def shortest_moves(layout: Layout) -> Tensor:
    """``(cells, cells)`` int64: the first action of a shortest path from the first cell to the second; 0 at the end."""
    steps, following = distances(layout), torch.tensor(layout.next_cells())
    after = steps[following]  # (from, action, to)
    nearest = after[:, 1:].argmin(1) + 1
    return torch.where(steps == 0, 0, nearest).clamp(max=len(MOVES) - 1)
