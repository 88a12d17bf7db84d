"""Treasure hunt: a mountain from which the treasure can be seen, at a price."""

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

__all__ = ["TreasureHunt"]

_STEP, _LIMIT, _START = 0.1, 1.5, (0.0, -1.0)
_MOUNTAIN, _TOP, _TREASURE = 0.5, 0.1, 0.1


class TreasureHunt(TaskFamily):
    """A point that walks the plane around a mountain; the treasure lies somewhere on the unit circle.

    A move adds 0.1 a, a in [-1, 1] x [-1, 1], and is clipped to [-1.5, 1.5] x [-1.5, 1.5]. With d the distance from the
    middle, a step that ends on the mountain (d <= 0.5) pays (d - 0.5) - 5; one that ends within 0.1 of the treasure
    pays 10; every other one pays -5 max(1, d). The observation is (x, y, treasure x, treasure y), the treasure shown
    only within 0.1 of the middle and zeros elsewhere. The start is (0, -1). A task is the treasure's angle in [0, 2
    pi).

    Args:
        horizon: steps of an episode.
        episodes: episodes of a trial.
        device: where the tensors live.

    Reference:
        Zintgraf et al. (2021), Exploration in approximate hyper-state space for meta RL (HyperX), arXiv:2010.01062.
    """

    id: ClassVar[str] = "treasure-hunt"

    def __init__(self, *, horizon: int = 100, episodes: int = 1, device: torch.device | str = "cpu") -> None:
        if horizon < 1 or episodes < 1:
            raise ArgumentError(f"horizon={horizon}, episodes={episodes}: expected at least 1 of each.")
        self.horizon, self.episodes, self.device, self.layout = horizon, episodes, torch.device(device), None
        self.observation_space = spaces.Box(-_LIMIT, _LIMIT, (4,), np.float32)
        self.action_space = spaces.Box(-1.0, 1.0, (2,), np.float32)
        self.task_shape, self.task_dtype = (), torch.float32

    def sample_tasks(self, n: int, generator: torch.Generator, split: Split = "all") -> Tensor:
        return torch.rand(n, generator=generator, device=self.device) * (2 * math.pi)

    def find_fault(self, tasks: Tensor) -> str | None:
        return None if ((tasks >= 0) & (tasks <= 2 * math.pi)).all() else "expected angles from 0 to 2 pi"

    def prepare(self, tasks: Tensor) -> Tensor:
        return torch.stack((tasks.cos(), tasks.sin()), 1)

    def start(self, prepared: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        state = torch.tensor(_START, device=self.device).repeat(len(prepared), 1)
        return state, _observe(state, prepared, state.norm(dim=1))

    def step(
        self, prepared: Tensor, state: Tensor, action: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        state = torch.add(state, action.clamp(-1.0, 1.0), alpha=_STEP).clamp_(-_LIMIT, _LIMIT)
        distance = state.norm(dim=1)
        found = (state - prepared).norm(dim=1) <= _TREASURE
        outside = torch.where(found, 10.0, distance.clamp(min=1.0) * -5.0)
        reward = torch.where(distance <= _MOUNTAIN, distance - (_MOUNTAIN + 5.0), outside)
        return state, _observe(state, prepared, distance), reward

    def draw(self, task: Tensor, state: Tensor) -> np.ndarray:
        treasure = (math.cos(float(task)), math.sin(float(task)))
        discs = [((0.0, 0.0), _MOUNTAIN, "shade"), ((0.0, 0.0), _TOP, "line"), (treasure, _TREASURE, "goal")]
        return draw_plane(_LIMIT, discs, rings=[((0.0, 0.0), 1.0, "line")], agent=state.tolist())


def _observe(state: Tensor, treasure: Tensor, distance: Tensor) -> Tensor:
    return torch.cat((state, treasure * (distance <= _TOP)[:, None]), 1)
