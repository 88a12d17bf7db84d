"""Room navigation: three goals, each of which says something about the next."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from metabench.envs.family import Split, TaskFamily
from metabench.envs.layout import MOVES, Layout
from metabench.envs.raster import draw_cells
from metabench.envs.sampling import draw_from
from metabench.errors import ArgumentError

__all__ = ["START", "RoomNavigation", "goals_of_tasks", "make_layout"]

Cell = tuple[int, int]

START: Cell = (7, 1)
"""The middle of the middle room."""
_ROOMS = (0, 6, 12)
_CORRIDORS = (3, 9)
_STEP_REWARD, _GOAL_REWARDS = -0.1, (1.0, 10.0, 100.0)


def make_layout() -> Layout:
    """Three 3 x 3 rooms in a row; corridors of three cells join their middle rows."""
    rooms = [(x + dx, y) for x in _ROOMS for y in range(3) for dx in range(3)]
    corridors = [(x + dx, 1) for x in _CORRIDORS for dx in range(3)]
    return Layout(tuple(rooms + corridors))


def _corners(x: int) -> tuple[Cell, ...]:
    return ((x, 0), (x, 2), (x + 2, 0), (x + 2, 2))


def goals_of_tasks() -> list[tuple[Cell, Cell, Cell]]:
    """The three goal cells of each of the 48 tasks: goal 1 (4), goal 2 on its side (4), goal 3 (3)."""
    middle = _corners(_ROOMS[1])
    return [
        (first, second, third)
        for first in middle
        for second in _corners(_ROOMS[0] if first[0] < START[0] else _ROOMS[2])
        for third in middle
        if third != first
    ]


class RoomNavigation(TaskFamily):
    """Rooms and corridors with three goals that pay 1, 10 and 100 a step, each only after the one before was visited.

    Goal 1 is a corner of the middle room; its side, left or right, is the side of the outer room that has goal 2 in one
    of its corners; goal 3 is another corner of the middle room. A step that ends on a goal whose turn has come, or has
    passed, pays that goal's reward; every other step pays -0.1. The observation is the position (x, y) alone. Actions:
    stay, up, right, down, left; walls block. A task is a number from 0 to 47, as in :func:`goals_of_tasks`; every
    fourth task is held out.

    Args:
        horizon: steps of an episode.
        episodes: episodes of a trial.
        device: where the tensors live.

    Reference:
        Zintgraf et al. (2021), Exploration in approximate hyper-state space for meta RL (HyperX), arXiv:2010.01062.
    """

    id: ClassVar[str] = "room-navigation"

    def __init__(self, *, horizon: int = 50, episodes: int = 1, device: torch.device | str = "cpu") -> None:
        if horizon < 1 or episodes < 1:
            raise ArgumentError(f"horizon={horizon}, episodes={episodes}: expected at least 1 of each.")
        self.horizon, self.episodes, self.device = horizon, episodes, torch.device(device)
        self.layout: Layout = make_layout()
        self.observation_space = spaces.Box(
            np.zeros(2, np.float32), np.array([self.layout.width - 1, self.layout.height - 1], np.float32)
        )
        self.action_space = spaces.Discrete(len(MOVES))
        self.task_shape, self.task_dtype = (), torch.int64
        self.goals = goals_of_tasks()
        every = torch.arange(len(self.goals), device=device)
        held_out = every % 4 == 2
        self._splits = {"all": every, "train": every[~held_out], "held-out": every[held_out]}
        following, reward = _tables(self.layout, self.goals)
        self.next_state, self.reward_of = following.to(device), reward.to(device)
        self._obs = self.layout.coordinates(device)
        self._cells = len(self.layout.cells)

    def sample_tasks(self, n: int, generator: torch.Generator, split: Split = "all") -> Tensor:
        return draw_from(self._splits[split], n, generator)

    def find_fault(self, tasks: Tensor) -> str | None:
        if ((tasks >= 0) & (tasks < len(self.goals))).all():
            return None
        return f"expected numbers from 0 to {len(self.goals) - 1}"

    def prepare(self, tasks: Tensor) -> Tensor:
        return tasks * (3 * self._cells) + self.layout.index(START)

    def start(self, prepared: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return prepared, self._obs.index_select(0, prepared % self._cells)

    def step(
        self, prepared: Tensor, state: Tensor, action: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        state = self.next_state.index_select(0, torch.add(action, state, alpha=len(MOVES)))
        return state, self._obs.index_select(0, state % self._cells), self.reward_of.index_select(0, state)

    def draw(self, task: Tensor, state: Tensor) -> np.ndarray:
        marks = dict(zip(self.goals[int(task)], ("goal", "goal 2", "goal 3"), strict=True))
        return draw_cells(self.layout, self.layout.cells[int(state) % self._cells], marks)


def _tables(layout: Layout, goals: list[tuple[Cell, Cell, Cell]]) -> tuple[Tensor, Tensor]:
    """The next state of each state and action, and the reward of ending a step in each state, flat.

    A state is (task * 3 + goals visited in turn, at most two) * cells + cell.
    """
    cells = len(layout.cells)
    moves = torch.tensor(layout.next_cells())
    following, rewards = [], []
    for task, places in enumerate(goals):
        numbers = [layout.index(place) for place in places]
        for visited in range(3):
            advanced = torch.full((cells,), visited)
            if visited < 2:  # the third visit opens nothing more
                advanced[numbers[visited]] = visited + 1
            following.append((task * 3 + advanced[moves]) * cells + moves)
            reward = torch.full((cells,), _STEP_REWARD)
            # Ending on goal g with g visited counts it already, so goals below ``visited`` pay; goal 3 pays once 2 are.
            for number, value in list(zip(numbers, _GOAL_REWARDS, strict=True))[: 3 if visited == 2 else visited]:
                reward[number] = value
            rewards.append(reward)
    return torch.cat(following).reshape(-1), torch.cat(rewards)
