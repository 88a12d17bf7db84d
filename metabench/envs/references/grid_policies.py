"""Grid navigation by a policy that knows the goal, by one that guesses it, and by the Bayes-optimal one."""

from __future__ import annotations

import torch
from torch import Tensor

from metabench.envs.family import Transition
from metabench.envs.grid_navigation import GridNavigation
from metabench.envs.references.grid_optimal import search_plan
from metabench.envs.references.policy import ReferencePolicy
from metabench.envs.references.shortest_paths import shortest_moves
from metabench.envs.trial import TrialVectorEnv

__all__ = ["GoalKnown", "GridPosteriorSampling", "SearchPlan"]


def _family(env: TrialVectorEnv) -> GridNavigation:
    assert isinstance(env.family, GridNavigation)
    return env.family


class GoalKnown(ReferencePolicy):
    """Looks up the task and walks straight to the goal: the ceiling of every episode."""

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        self._env, self._layout = env, _family(env).layout
        self._moves = shortest_moves(self._layout).to(env.device)

    def act(self, obs: Tensor) -> Tensor:
        return self._moves[self._layout.cell_of(obs), self._env.tasks]

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        """There is nothing to learn."""


class GridPosteriorSampling(ReferencePolicy):
    """Before each episode draws a goal from the posterior, and stays with it for that episode.

    Of the shortest paths to the goal it takes each with the same probability. Every cell it enters tells whether it is
    the goal.

    Reference:
        Strens (2000), A Bayesian framework for reinforcement learning; the version of Zintgraf et al. (2020),
        arXiv:1910.08348, figure 1.
    """

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        family = _family(env)
        self._layout, self._generator = family.layout, generator
        self._coordinates = family.layout.coordinates(env.device)
        self._possible = torch.zeros(env.num_envs, len(family.layout.cells), device=env.device)
        self._possible[:, family.goals["all"]] = 1.0
        self._draw()

    def _draw(self) -> None:
        goal = torch.multinomial(self._possible, 1, generator=self._generator).squeeze(1)
        self._target = self._coordinates[goal]

    def act(self, obs: Tensor) -> Tensor:
        dx, dy = (self._target - obs).unbind(1)
        sideways = torch.rand(len(obs), generator=self._generator, device=obs.device) * (dx.abs() + dy.abs()) < dx.abs()
        along_x = torch.where(dx > 0, 2, 4)
        along_y = torch.where(dy > 0, 1, 3)
        return torch.where((dx == 0) & (dy == 0), 0, torch.where(sideways, along_x, along_y))

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        cell = self._layout.cell_of(transition.next_obs)
        here = torch.nn.functional.one_hot(cell, self._possible.shape[1]).to(self._possible)
        hit = (transition.reward > 0)[:, None]
        self._possible = torch.where(hit, here, self._possible * (1.0 - here))
        if transition.episode_end:
            self._draw()


class SearchPlan(ReferencePolicy):
    """Bayes-optimal: walks :func:`search_plan` until it meets the goal, and from then on goes straight to it."""

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        family = _family(env)
        self._env, self._layout = env, family.layout
        self._moves = shortest_moves(self._layout).to(env.device)
        self._plan = torch.tensor(search_plan(family), device=env.device)
        self._goal = torch.full((env.num_envs,), -1, device=env.device)

    def act(self, obs: Tensor) -> Tensor:
        cell = self._layout.cell_of(obs)
        search = self._plan[self._env.episode, self._env.episode_step]
        return torch.where(self._goal < 0, search, self._moves[cell, self._goal.clamp(min=0)])

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        cell = self._layout.cell_of(transition.next_obs)
        self._goal = torch.where(transition.reward > 0, cell, self._goal)
