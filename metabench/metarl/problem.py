"""What an agent is told about its environment before it starts, and the trajectories it makes there."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor

from metabench.envs import Layout
from metabench.errors import ArgumentError
from metabench.metarl.actions import ActionKind, action_kind
from metabench.metarl.environments import Environment

__all__ = ["Problem", "Trajectories", "problem_of"]


@dataclass(frozen=True)
class Problem:
    """The shape of a meta-RL problem.

    Attributes:
        observations: dimension of an observation.
        actions: the distribution for its action space.
        episodes: episodes of a trial.
        horizon: steps of an episode.
        layout: the cells of a grid world; None elsewhere.
    """

    observations: int
    actions: ActionKind
    episodes: int
    horizon: int
    layout: Layout | None = None

    @property
    def steps(self) -> int:
        """Steps of a trial."""
        return self.episodes * self.horizon


class Trajectories(NamedTuple):
    """Transitions of whole trials: ``(steps, batch, ...)`` each.

    Attributes:
        obs: states acted in.
        action: as the environment takes them.
        next_obs: states reached, before any reset.
        reward: as the environment pays them, ``(steps, batch)``.
    """

    obs: Tensor
    action: Tensor
    next_obs: Tensor
    reward: Tensor


def problem_of(env: Environment) -> Problem:
    """The problem that an environment poses.

    Raises:
        ArgumentError: if observations are not vectors or the action space has no distribution here.
    """
    shape = env.single_observation_space.shape
    if shape is None or len(shape) != 1:
        raise ArgumentError(f"observation space {env.single_observation_space}; expected a one-dimensional Box.")
    layout = None if env.family is None else env.family.layout
    return Problem(shape[0], action_kind(env.single_action_space), env.episodes, env.horizon, layout)
