"""The Bayes-optimal policy of room navigation, exactly, by dynamic programming over beliefs.

The belief is finite. Until goal 1 is met it is the set of middle corners still possible; then goal 1's corner with the
set of outer corners still possible for goal 2; then both goals with the set of middle corners still possible for goal
3; then all three. Corners entered before their goal's turn tell nothing. Within a set all corners are equally likely.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from metabench.envs.family import Transition
from metabench.envs.references.policy import ReferencePolicy
from metabench.envs.references.shortest_paths import shortest_moves
from metabench.envs.room_navigation import START, RoomNavigation, goals_of_tasks
from metabench.envs.trial import TrialVectorEnv
from metabench.errors import ArgumentError

__all__ = ["RoomsBeliefPolicy", "RoomsGoalsKnown", "RoomsSolution", "solve_rooms"]

Cell = tuple[int, int]
Belief = tuple[tuple[Cell, ...], frozenset[Cell]]
"""The goals met so far, in turn, and the cells still possible for the next one (empty once all are met)."""

_STEP, _REWARDS = -0.1, (1.0, 10.0, 100.0)


@dataclass(frozen=True)
class RoomsSolution:
    """Tables over steps, beliefs and cells; the trial begins in belief 0.

    Attributes:
        value: expected return of an episode from its start.
        action: ``(H, beliefs, cells)`` int64, the best action.
        after_hit: ``(beliefs, cells)`` int64, the belief after entering the cell and being paid for the next goal.
        after_miss: the same after not being paid for it.
    """

    value: float
    action: np.ndarray
    after_hit: np.ndarray
    after_miss: np.ndarray


def _possible(met: tuple[Cell, ...], last_goal: int) -> frozenset[Cell]:
    """Where the next goal may be, once ``met`` are known."""
    if len(met) >= last_goal:
        return frozenset()
    return frozenset(goals[len(met)] for goals in goals_of_tasks() if goals[: len(met)] == met)


def _reachable(last_goal: int) -> list[Belief]:
    beliefs: list[Belief] = [((), _possible((), last_goal))]
    for met, possible in beliefs:  # grows while it is read
        for cell in sorted(possible):
            hit = ((*met, cell), _possible((*met, cell), last_goal))
            miss = (met, possible - {cell})
            for belief in (hit, miss):
                if belief not in beliefs and (belief == hit or belief[1]):
                    beliefs.append(belief)
    return beliefs


def solve_rooms(family: RoomNavigation, *, last_goal: int = 3) -> RoomsSolution:
    """Solves one episode.

    Args:
        family: the environment; one episode a trial.
        last_goal: goals after this one are left alone, as by an agent that stops exploring: the return's plateaus.

    Raises:
        ArgumentError: for trials of several episodes.
    """
    if family.episodes != 1 or not 1 <= last_goal <= 3:
        raise ArgumentError(
            f"episodes={family.episodes}, last_goal={last_goal}: expected 1 episode and goal 1, 2 or 3."
        )
    beliefs = _reachable(last_goal)
    number = {belief: i for i, belief in enumerate(beliefs)}
    layout = family.layout
    shape = (len(beliefs), len(layout.cells))
    chance, hit_reward, miss_reward = np.zeros(shape), np.zeros(shape), np.full(shape, _STEP)
    after_hit, after_miss = np.zeros(shape, dtype=np.int64), np.zeros(shape, dtype=np.int64)
    for (met, possible), b in number.items():
        after_hit[b] = after_miss[b] = b
        for goal, reward in zip(met, _REWARDS, strict=False):
            miss_reward[b, layout.index(goal)] = reward
        for cell in possible:
            c = layout.index(cell)
            chance[b, c], hit_reward[b, c] = 1 / len(possible), _REWARDS[len(met)]
            after_hit[b, c] = number[(*met, cell), _possible((*met, cell), last_goal)]
            after_miss[b, c] = number.get((met, possible - {cell}), b)  # of probability zero where it is not there
    action, value = _backward(family, chance, hit_reward, miss_reward, after_hit, after_miss)
    start = float(value[0, layout.index(START)])
    return RoomsSolution(start, action, after_hit, after_miss)


def _backward(
    family: RoomNavigation,
    chance: np.ndarray,
    hit_reward: np.ndarray,
    miss_reward: np.ndarray,
    after_hit: np.ndarray,
    after_miss: np.ndarray,
) -> tuple[np.ndarray, np.ndarray]:
    following = np.array(family.layout.next_cells())
    cells = np.arange(len(following))
    value = np.zeros(chance.shape)
    actions = np.zeros((family.horizon, *chance.shape), dtype=np.int64)
    for step in reversed(range(family.horizon)):
        hit = hit_reward + value[after_hit, cells]
        miss = miss_reward + value[after_miss, cells]
        entering = chance * hit + (1 - chance) * miss
        choices = entering[:, following]  # (beliefs, cells, actions)
        actions[step], value = choices.argmax(-1), choices.max(-1)
    return actions, value


class RoomsBeliefPolicy(ReferencePolicy):
    """Acts by :func:`solve_rooms`: Bayes-optimal, unless it is to look for no goal after ``last_goal``."""

    def __init__(self, last_goal: int = 3) -> None:
        self.last_goal = last_goal

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        assert isinstance(env.family, RoomNavigation)
        solution = solve_rooms(env.family, last_goal=self.last_goal)
        self._env, self._layout = env, env.family.layout
        self._action, self._hit, self._miss = (
            torch.as_tensor(table, device=env.device)
            for table in (solution.action, solution.after_hit, solution.after_miss)
        )
        self._belief = torch.zeros(env.num_envs, dtype=torch.int64, device=env.device)

    def act(self, obs: Tensor) -> Tensor:
        return self._action[self._env.episode_step, self._belief, self._layout.cell_of(obs)]

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        cell = self._layout.cell_of(transition.next_obs)
        hit, miss = self._hit[self._belief, cell], self._miss[self._belief, cell]
        self._belief = torch.where(transition.reward > 0, hit, miss)


class RoomsGoalsKnown(ReferencePolicy):
    """Looks up the task and walks to its three goals in turn, then stays: the ceiling of one task."""

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        assert isinstance(env.family, RoomNavigation)
        layout = env.family.layout
        self._layout, self._moves = layout, shortest_moves(layout).to(env.device)
        goals = torch.tensor([[layout.index(cell) for cell in goals] for goals in env.family.goals], device=env.device)
        self._goals, self._met = goals[env.tasks], torch.zeros(env.num_envs, dtype=torch.int64, device=env.device)

    def _target(self) -> Tensor:
        return self._goals.gather(1, self._met[:, None]).squeeze(1)

    def act(self, obs: Tensor) -> Tensor:
        return self._moves[self._layout.cell_of(obs), self._target()]

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        there = self._layout.cell_of(transition.next_obs) == self._target()
        self._met = (self._met + there).clamp(max=2)
