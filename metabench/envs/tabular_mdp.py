"""Random tabular MDPs: learn ten states and five actions within a few episodes."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from metabench.envs.family import Split, TaskFamily
from metabench.envs.raster import draw_states
from metabench.envs.sampling import draw_categorical
from metabench.errors import ArgumentError

__all__ = ["TabularMDP"]


class TabularMDP(TaskFamily):
    """``states`` states and ``actions`` actions; transitions Dirichlet(1), mean rewards N(1, 1), reward noise N(0, 1).

    Every episode begins in state 0; the observation is the state, one-hot. A task is a tensor ``(states, actions,
    states + 1)``: the transition probabilities, then the mean reward of the action.

    Args:
        episodes: episodes of a trial, n.
        states: number of states.
        actions: number of actions.
        horizon: steps of an episode.
        device: where the tensors live.

    Reference:
        Duan et al. (2016), RL^2, arXiv:1611.02779, section 3.2; the prior is that of Osband et al. (2013), PSRL,
        arXiv:1306.0940.
    """

    id: ClassVar[str] = "tabular-mdp"

    def __init__(
        self,
        *,
        episodes: int = 10,
        states: int = 10,
        actions: int = 5,
        horizon: int = 10,
        device: torch.device | str = "cpu",
    ) -> None:
        if min(episodes, actions, horizon) < 1 or states < 2:
            raise ArgumentError(
                f"episodes={episodes}, states={states}, actions={actions}, horizon={horizon}: "
                "expected states >= 2, others >= 1."
            )
        self.episodes, self.horizon, self.states, self.actions = episodes, horizon, states, actions
        self.device, self.layout = torch.device(device), None
        self.observation_space = spaces.Box(0.0, 1.0, (states,), np.float32)
        self.action_space = spaces.Discrete(actions)
        self.task_shape, self.task_dtype = (states, actions, states + 1), torch.float32
        self._obs = torch.eye(states, device=device)

    def sample_tasks(self, n: int, generator: torch.Generator, split: Split = "all") -> Tensor:
        shape = (n, self.states, self.actions)
        # Dirichlet(1) is exponential draws divided by their sum; inversion takes a quarter of exponential_'s time.
        weights = -torch.log1p(-torch.rand(*shape, self.states, generator=generator, device=self.device))
        mean = 1.0 + torch.randn(*shape, 1, generator=generator, device=self.device)
        return torch.cat((weights / weights.sum(-1, keepdim=True), mean), -1)

    def find_fault(self, tasks: Tensor) -> str | None:
        chances = tasks[..., : self.states]
        if (chances >= 0).all() and torch.allclose(chances.sum(-1), torch.ones(()).to(tasks), atol=1e-4):
            return None if tasks.isfinite().all() else "mean rewards are not finite"
        return "transition probabilities are negative or do not sum to 1"

    def prepare(self, tasks: Tensor) -> tuple[Tensor, Tensor]:
        """Cumulated transition probabilities and mean rewards, one row for each copy, state and action."""
        rows = tasks.reshape(-1, self.states + 1)
        return rows[:, : self.states].cumsum(1), rows[:, self.states].contiguous()

    def start(self, prepared: tuple[Tensor, Tensor], generator: torch.Generator) -> tuple[Tensor, Tensor]:
        n = len(prepared[1]) // (self.states * self.actions)
        state = torch.zeros(n, dtype=torch.int64, device=self.device)
        return state, self._obs.index_select(0, state)

    def step(
        self, prepared: tuple[Tensor, Tensor], state: Tensor, action: Tensor, generator: torch.Generator
    ) -> tuple[Tensor, Tensor, Tensor]:
        cumulated, mean = prepared
        first = torch.arange(0, len(mean), self.states * self.actions, device=self.device)
        row = first + state * self.actions + action
        state = draw_categorical(cumulated.index_select(0, row), generator)
        noise = torch.randn(len(row), generator=generator, device=self.device)
        return state, self._obs.index_select(0, state), mean.index_select(0, row).add_(noise)

    def draw(self, task: Tensor, state: Tensor) -> np.ndarray:
        return draw_states(self.states, int(state), ())
