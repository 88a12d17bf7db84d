"""The policy that scores zero: uniform actions."""

from __future__ import annotations

import torch
from gymnasium import spaces
from torch import Tensor

from metabench.envs.family import Transition
from metabench.envs.grid_navigation import GridNavigation
from metabench.envs.references.policy import ReferencePolicy
from metabench.envs.room_navigation import RoomNavigation
from metabench.envs.trial import TrialVectorEnv

__all__ = ["RandomPolicy", "random_return"]


class RandomPolicy(ReferencePolicy):
    """Draws every action uniformly from the action space."""

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        self._space, self._n, self._generator = env.family.action_space, env.num_envs, generator

    def act(self, obs: Tensor) -> Tensor:
        space, generator = self._space, self._generator
        if isinstance(space, spaces.Discrete):
            return torch.randint(int(space.n), (self._n,), generator=generator, device=obs.device)
        low, high = (torch.as_tensor(limit, device=obs.device) for limit in (space.low, space.high))
        return low + (high - low) * torch.rand(self._n, *low.shape, generator=generator, device=obs.device)

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        """There is nothing to learn."""


def random_return(family: GridNavigation | RoomNavigation) -> float:
    """The expected return of an episode under :class:`RandomPolicy`, over all tasks, exactly."""
    following = family.next_state.view(len(family.reward_of), -1)
    reward = family.reward_of.double()
    value = torch.zeros_like(reward)
    for _ in range(family.horizon):
        value = (reward + value)[following].mean(1)
    tasks = (
        family.goals["all"]
        if isinstance(family, GridNavigation)
        else torch.arange(len(family.goals), device=family.device)
    )
    return float(value[family.prepare(tasks)].mean())
