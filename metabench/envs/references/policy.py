"""What a reference policy is, and how its return is estimated."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from torch import Tensor

from metabench.envs.family import Transition
from metabench.envs.trial import TrialVectorEnv

__all__ = ["Played", "ReferencePolicy", "play_trial", "run_trial"]


class Played(NamedTuple):
    """A step of all copies: what they saw ``(n, ...)``, what they did ``(n, ...)`` and what it led to."""

    obs: Tensor
    action: Tensor
    transition: Transition


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


def play_trial(policy: ReferencePolicy, env: TrialVectorEnv, *, seed: int = 0) -> Iterator[Played]:
    """Plays one trial in every copy, a step at a time."""
    obs = env.reset_tensor(seed=seed)
    policy.begin(env, torch.Generator(env.device).manual_seed(seed))
    for _ in range(env.steps):
        action = policy.act(obs)
        transition = env.step_tensor(action)
        policy.observe(obs, action, transition)
        yield Played(obs, action, transition)
        obs = transition.obs


def run_trial(policy: ReferencePolicy, env: TrialVectorEnv, *, seed: int = 0) -> Tensor:
    """Runs one trial in every copy.

    Returns:
        Undiscounted returns, ``(episodes, num_envs)`` float64.
    """
    returns = torch.zeros(env.episodes, env.num_envs, dtype=torch.float64, device=env.device)
    for step, (_, _, transition) in enumerate(play_trial(policy, env, seed=seed)):
        returns[step // env.horizon] += transition.reward
    return returns
