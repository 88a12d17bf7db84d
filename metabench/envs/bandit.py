"""Bernoulli bandits: which arm to pull next."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from metabench.envs.family import Split, TaskFamily
from metabench.envs.raster import draw_bars
from metabench.errors import ArgumentError

__all__ = ["Bandit"]


class Bandit(TaskFamily):
    """``arms`` arms; arm i pays 1 with probability p_i, else 0, and each p_i is uniform on [0, 1].

    A trial is one episode of ``pulls`` steps; there is nothing to see, so the observation is a constant zero. A task is
    the vector of the p_i.

    Args:
        pulls: steps of a trial, n.
        arms: actions, k.
        device: where the tensors live.

    Reference:
        Duan et al. (2016), RL^2, arXiv:1611.02779, section 3.1.
    """

    id: ClassVar[str] = "bandit"

    def __init__(self, *, pulls: int = 10, arms: int = 5, device: torch.device | str = "cpu") -> None:
        if pulls < 1 or arms < 1:
            raise ArgumentError(f"pulls={pulls}, arms={arms}: expected at least 1 of each.")
        self.horizon, self.episodes, self.arms = pulls, 1, arms
        self.device, self.layout = torch.device(device), None
        self.observation_space = spaces.Box(0.0, 1.0, (1,), np.float32)
        self.action_space = spaces.Discrete(arms)
        self.task_shape, self.task_dtype = (arms,), torch.float32

    def sample_tasks(self, n: int, generator: torch.Generator, split: Split = "all") -> Tensor:
        return torch.rand(n, self.arms, generator=generator, device=self.device)

    def find_fault(self, tasks: Tensor) -> str | None:
        return None if ((tasks >= 0) & (tasks <= 1)).all() else "expected probabilities from 0 to 1"

    def prepare(self, tasks: Tensor) -> Tensor:
        return tasks

    def start(self, prepared: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        n = len(prepared)
        return torch.full((n,), -1, device=self.device), torch.zeros(n, 1, device=self.device)

    def step(
        self, prepared: Tensor, state: Tensor, action: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        chance = prepared.gather(1, action[:, None]).squeeze(1)
        uniform = torch.rand(len(action), generator=generator, device=self.device)
        return action, torch.zeros(len(action), 1, device=self.device), (uniform < chance).to(torch.float32)

    def draw(self, task: Tensor, state: Tensor) -> np.ndarray:
        return draw_bars(task.tolist(), int(state))
