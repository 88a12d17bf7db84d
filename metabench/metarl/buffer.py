"""The trajectory buffer that the variational part is trained from."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metabench.metarl.problem import Trajectories

__all__ = ["TrajectoryBuffer"]


class TrajectoryBuffer:
    """A ring of the latest whole trials.

    Args:
        capacity: trials kept.
    """

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self.size = 0
        self._next = 0
        self._rows: list[Tensor] = []  # one for each part of Trajectories: (capacity, steps, ...)

    def add(self, trajectories: Trajectories) -> None:
        """Adds trials ``(steps, batch, ...)``; the oldest give way."""
        parts = [part.transpose(0, 1)[-self.capacity :] for part in trajectories]
        if not self._rows:  # untouched pages of the ring take no memory
            self._rows = [torch.empty(self.capacity, *part.shape[1:], dtype=part.dtype) for part in parts]
        places = (self._next + torch.arange(len(parts[0]))) % self.capacity
        for rows, part in zip(self._rows, parts, strict=True):
            rows[places] = part
        self._next = int(places[-1] + 1) % self.capacity
        self.size = min(self.size + len(places), self.capacity)

    def sample(self, batch: int, generator: torch.Generator) -> Trajectories:
        """Draws trials, with replacement: ``(steps, batch, ...)``."""
        picks = torch.randint(self.size, (batch,), generator=generator)
        return Trajectories(*(rows.index_select(0, picks).transpose(0, 1) for rows in self._rows))

    def state_dict(self) -> dict[str, Any]:
        """What is in the ring, and where it goes on."""
        return {"size": self.size, "next": self._next, "rows": [rows[: self.size].clone() for rows in self._rows]}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores :meth:`state_dict`."""
        self.size, self._next = state["size"], state["next"]
        self._rows = []
        for kept in state["rows"]:
            rows = torch.empty(self.capacity, *kept.shape[1:], dtype=kept.dtype)
            rows[: self.size] = kept
            self._rows.append(rows)
