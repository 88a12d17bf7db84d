"""Grid navigation: find a hidden goal cell in four episodes."""

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

__all__ = ["GridNavigation"]


class GridNavigation(TaskFamily):
    """A square of cells with one goal: +1 for each step that ends on it, else -0.1.

    The start is (0, 0); the goal is uniform over the cells outside the 2 x 2 corner at the start. Actions: stay, up,
    right, down, left; a move off the square stays. A task is the goal's cell number, y * size + x; the observation is
    (x, y). Every fourth goal is held out.

    Args:
        size: cells of a side.
        horizon: steps of an episode.
        episodes: episodes of a trial.
        device: where the tensors live.

    Reference:
        Zintgraf et al. (2020), VariBAD, arXiv:1910.08348.
    """

    id: ClassVar[str] = "grid-navigation"

    def __init__(
        self, *, size: int = 5, horizon: int = 15, episodes: int = 4, device: torch.device | str = "cpu"
    ) -> None:
        if size < 3 or horizon < 1 or episodes < 1:
            raise ArgumentError(
                f"size={size}, horizon={horizon}, episodes={episodes}: expected size >= 3, others >= 1."
            )
        self.size, self.horizon, self.episodes, self.device = size, horizon, episodes, torch.device(device)
        self.layout: Layout = Layout(tuple((x, y) for y in range(size) for x in range(size)))
        self.observation_space = spaces.Box(0.0, size - 1.0, (2,), np.float32)
        self.action_space = spaces.Discrete(len(MOVES))
        self.task_shape, self.task_dtype = (), torch.int64
        goals = [i for i, (x, y) in enumerate(self.layout.cells) if x > 1 or y > 1]
        held_out = goals[2::4]
        self.goals = {
            "all": torch.tensor(goals, device=device),
            "train": torch.tensor([goal for goal in goals if goal not in held_out], device=device),
            "held-out": torch.tensor(held_out, device=device),
        }
        # A state is the pair goal * cells + cell as one number, so a step is four look-ups, whatever the number of
        # copies.
        cells, actions = len(self.layout.cells), len(MOVES)
        following = torch.tensor(self.layout.next_cells(), device=device)
        goal = torch.arange(cells, device=device)
        self.next_state = (goal[:, None, None] * cells + following).reshape(-1)
        self.reward_of = torch.where(torch.eye(cells, dtype=torch.bool, device=device), 1.0, -0.1).reshape(-1)
        self._obs = self.layout.coordinates(device).repeat(cells, 1)
        self._cells, self._actions = cells, actions

    def sample_tasks(self, n: int, generator: torch.Generator, split: Split = "all") -> Tensor:
        return draw_from(self.goals[split], n, generator)

    def find_fault(self, tasks: Tensor) -> str | None:
        if torch.isin(tasks, self.goals["all"]).all():
            return None
        return f"expected numbers of goal cells, among {self.goals['all'].tolist()}"

    def prepare(self, tasks: Tensor) -> Tensor:
        return tasks * self._cells

    def start(self, prepared: Tensor, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        return prepared, self._obs.index_select(0, prepared)

    def step(
        self, prepared: Tensor, state: Tensor, action: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        state = self.next_state.index_select(0, torch.add(action, state, alpha=self._actions))
        return state, self._obs.index_select(0, state), self.reward_of.index_select(0, state)

    def draw(self, task: Tensor, state: Tensor) -> np.ndarray:
        agent = self.layout.cells[int(state) % self._cells]
        return draw_cells(self.layout, agent, {self.layout.cells[int(task)]: "goal"})
