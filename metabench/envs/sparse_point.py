"""Sparse point: find a small rewarded disc somewhere on a half circle."""

from __future__ import annotations

import math
from typing import ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from metabench.envs.family import Split, TaskFamily
from metabench.envs.raster import draw_plane
from metabench.errors import ArgumentError

__all__ = ["SparsePoint"]

_STEP = 0.1


class SparsePoint(TaskFamily):
    """A point in the plane; a step that ends within ``radius`` of the goal pays 1 - its distance, every other one 0.

    The start is (0, 0), a move adds 0.1 a with a in [-1, 1] x [-1, 1], and the plane has no walls. The goal is uniform
    on the upper half of the unit circle and never seen. The observation is (x, y). A task is the goal's angle in [0,
    pi].

    Args:
        radius: of the rewarded disc.
        horizon: steps of an episode.
        episodes: episodes of a trial.
        device: where the tensors live.

    Reference:
        Rakelly et al. (2019), PEARL, arXiv:1903.08254; as used by Zintgraf et al. (2021), arXiv:2010.01062.
    """

    id: ClassVar[str] = "sparse-point"

    def __init__(
        self, *, radius: float = 0.2, horizon: int = 100, episodes: int = 3, device: torch.device | str = "cpu"
    ) -> None:
        if not 0 < radius <= 1 or horizon < 1 or episodes < 1:
            raise ArgumentError(
                f"radius={radius}, horizon={horizon}, episodes={episodes}: expected a radius in (0, 1], others >= 1."
            )
        self.radius, self.horizon, self.episodes = radius, horizon, episodes
        self.device, self.layout = torch.device(device), None
        reach = _STEP * horizon
        self.observation_space = spaces.Box(-1.01 * reach, 1.01 * reach, (2,), np.float32)  # 1 % for rounding
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.task_shape, self.task_dtype = (), torch.float32

    def sample_tasks(self, n: int, generator: torch.Generator, split: Split = "all") -> Tensor:
        return torch.rand(n, generator=generator, device=self.device) * math.pi

    def find_fault(self, tasks: Tensor) -> str | None:
        return None if ((tasks >= 0) & (tasks <= math.pi)).all() else "expected angles from 0 to pi"

    def prepare(self, tasks: Tensor) -> Tensor:
        return torch.stack((tasks.cos(), tasks.sin()), 1)

    def start(self, prepared: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        state = torch.zeros_like(prepared)
        return state, state.clone()

    def step(
        self, prepared: Tensor, state: Tensor, action: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        state = torch.add(state, action.clamp(-1.0, 1.0), alpha=_STEP)
        distance = (state - prepared).norm(dim=1)
        return state, state.clone(), (1.0 - distance) * (distance <= self.radius)

    def draw(self, task: Tensor, state: Tensor) -> np.ndarray:
        goal = (math.cos(float(task)), math.sin(float(task)))
        rings = [((0.0, 0.0), 1.0, "line")]
        return draw_plane(1.5, [(goal, self.radius, "goal")], rings=rings, agent=state.tolist())
