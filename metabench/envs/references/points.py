"""Hand-coded policies of the two point environments."""

from __future__ import annotations

import torch
from torch import Tensor

from metabench.envs.family import Transition
from metabench.envs.references.policy import ReferencePolicy
from metabench.envs.trial import TrialVectorEnv

__all__ = ["ArcSweep", "CircleWalk", "ClimbThenGo", "PointGoalKnown"]

_STEP = 0.1


def _toward(position: Tensor, target: Tensor) -> Tensor:
    """The action that goes to ``target``, each coordinate as fast as it may."""
    return ((target - position) / _STEP).clamp(-1.0, 1.0)


def _toward_evenly(position: Tensor, target: Tensor) -> Tensor:
    """The action that goes to ``target`` in a straight line, at most 0.1 a step."""
    way = target - position
    length = way.norm(dim=1, keepdim=True).clamp(min=1e-9)
    return way / length * (length / _STEP).clamp(max=1.0)


def _ahead(position: Tensor, angle: float, radius: float = 1.0) -> Tensor:
    """The point of a circle around the middle that is ``angle`` further, counterclockwise."""
    along = torch.atan2(position[:, 1], position[:, 0]) + angle
    return radius * torch.stack((along.cos(), along.sin()), 1)


class PointGoalKnown(ReferencePolicy):
    """Looks up the task and goes straight to the goal, then stays."""

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        self._goal = env.family.prepare(env.tasks)

    def act(self, obs: Tensor) -> Tensor:
        return _toward(obs[:, :2], self._goal)

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        """There is nothing to learn."""


class ClimbThenGo(ReferencePolicy):
    """Treasure hunt: climbs the mountain straight, and goes to the treasure once it is seen.

    Args:
        to_the_middle: climbs on to the very middle, which takes one step more than is needed to see the treasure.
    """

    def __init__(self, *, to_the_middle: bool = False) -> None:
        self.to_the_middle = to_the_middle

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        self._goal = torch.zeros(env.num_envs, 2, device=env.device)

    def act(self, obs: Tensor) -> Tensor:
        position, shown = obs[:, :2], obs[:, 2:]
        there = position.norm(dim=1, keepdim=True) < 1e-3 if self.to_the_middle else shown.ne(0).any(1, keepdim=True)
        self._goal = torch.where(there & shown.ne(0).any(1, keepdim=True), shown, self._goal)
        return _toward(position, self._goal)

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        """All there is to know is in the observation."""


class CircleWalk(ReferencePolicy):
    """Treasure hunt: walks the unit circle, 0.1 a step, until the treasure is found, then stays.

    Args:
        ahead: angle to the point of the circle that is aimed at.
    """

    def __init__(self, ahead: float = 0.2) -> None:
        self.ahead = ahead

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        self._found = torch.zeros(env.num_envs, 1, dtype=torch.bool, device=env.device)

    def act(self, obs: Tensor) -> Tensor:
        position = obs[:, :2]
        return torch.where(self._found, 0.0, _toward_evenly(position, _ahead(position, self.ahead)))

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        self._found = self._found | (transition.reward > 0)[:, None]


class ArcSweep(ReferencePolicy):
    """Sparse point: goes to one end of the half circle and along it; the first reward tells where the goal is.

    The reward is 1 - distance and the goal lies ahead on the unit circle, so by the law of cosines it is known exactly.
    Later episodes go straight to it; so does one after a sweep that found nothing, to the sweep's start.

    Args:
        radius: of the arc walked.
        ahead: angle to the point of the arc that is aimed at.
    """

    def __init__(self, radius: float = 1.0, ahead: float = 0.1) -> None:
        self.radius, self.ahead = radius, ahead

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        n = env.num_envs
        self._end = torch.tensor([self.radius, 0.0], device=env.device)
        self._sweeping = torch.zeros(n, 1, dtype=torch.bool, device=env.device)
        self._found = torch.zeros(n, 1, dtype=torch.bool, device=env.device)
        self._goal = torch.zeros(n, 2, device=env.device)

    def act(self, obs: Tensor) -> Tensor:
        self._sweeping = self._sweeping | ((obs - self._end).norm(dim=1, keepdim=True) < 0.05)
        sweep = torch.where(self._sweeping, _ahead(obs, self.ahead, self.radius), self._end)
        return _toward(obs, torch.where(self._found, self._goal, sweep))

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        position, distance = transition.next_obs, 1.0 - transition.reward
        own = position.norm(dim=1)
        angle = ((1.0 + own**2 - distance**2) / (2.0 * own).clamp(min=1e-6)).clamp(-1.0, 1.0).acos()
        along = torch.atan2(position[:, 1], position[:, 0]) + angle
        new = (transition.reward > 0)[:, None] & ~self._found
        self._goal = torch.where(new, torch.stack((along.cos(), along.sin()), 1), self._goal)
        self._found = self._found | new
        if transition.episode_end:
            self._sweeping = torch.zeros_like(self._sweeping)
