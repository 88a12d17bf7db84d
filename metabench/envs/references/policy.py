"""What a reference policy is, and how its return is estimated."""

from __future__ import annotations

from abc import ABC, abstractmethod

import torch
from torch import Tensor

from metabench.envs.family import Transition
from metabench.envs.trial import TrialVectorEnv

__all__ = ["ReferencePolicy", "run_trial"]


class ReferencePolicy(ABC):
    """A policy for all copies of an environment at once, with a memory of its own.

    A policy that may look at ``env.tasks`` or know the prior says so in its docstring.
    """

    @abstractmethod
    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        """Forgets everything: a trial begins in new tasks. Its own chance comes from the generator."""

    @abstractmethod
    def act(self, obs: Tensor) -> Tensor:
        """The actions ``(n, ...)`` after the observations ``(n, ...)``."""

    @abstractmethod
    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        """Learns from what its actions led to."""


def run_trial(policy: ReferencePolicy, env: TrialVectorEnv, *, seed: int = 0) -> Tensor:
    """Runs one trial in every copy.

    Returns:
        Undiscounted returns, ``(episodes, num_envs)`` float64.
    """
    obs = env.reset_tensor(seed=seed)
    policy.begin(env, torch.Generator(env.device).manual_seed(seed))
    returns = torch.zeros(env.episodes, env.num_envs, dtype=torch.float64, device=env.device)
    for step in range(env.steps):
        action = policy.act(obs)
        transition = env.step_tensor(action)
        policy.observe(obs, action, transition)
        returns[step // env.horizon] += transition.reward
        obs = transition.obs
    return returns
