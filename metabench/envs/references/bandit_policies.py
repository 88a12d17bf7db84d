"""Bandits by Thompson sampling and by upper confidence bounds."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from metabench.envs.bandit import Bandit
from metabench.envs.family import Transition
from metabench.envs.references.policy import ReferencePolicy
from metabench.envs.sampling import draw_gamma
from metabench.envs.trial import TrialVectorEnv

__all__ = ["UCB1", "ArmCounts", "BestArm", "ThompsonSampling"]


class ArmCounts:
    """Successes and failures of every arm in every copy, ``(n, arms)``."""

    def __init__(self, env: TrialVectorEnv) -> None:
        assert isinstance(env.family, Bandit)
        self.successes = torch.zeros(env.num_envs, env.family.arms, device=env.device)
        self.failures = torch.zeros_like(self.successes)

    def add(self, action: Tensor, reward: Tensor) -> None:
        """Counts one pull in every copy."""
        self.successes.scatter_add_(1, action[:, None], reward[:, None])
        self.failures.scatter_add_(1, action[:, None], 1.0 - reward[:, None])


class ThompsonSampling(ReferencePolicy):
    """Draws every arm's chance from its Beta posterior (uniform prior) and pulls the largest.

    Reference:
        Thompson (1933), Biometrika 25.
    """

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        self._counts, self._generator = ArmCounts(env), generator

    def act(self, obs: Tensor) -> Tensor:
        # A Beta draw is a ratio of Gamma draws.
        a = draw_gamma(self._counts.successes + 1.0, self._generator)
        b = draw_gamma(self._counts.failures + 1.0, self._generator)
        return (a / (a + b)).argmax(1)

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        self._counts.add(action, transition.reward)


class UCB1(ReferencePolicy):
    """Pulls the arm of largest mean + c sqrt(2 log t / pulls).

    Args:
        c: width of the bound; 1 in the paper of the method.
        prior: if False every arm is pulled once first, as in the paper; if True every arm begins as if one pull had won
            and one had lost, which is the posterior mean, and nothing is forced.

    Reference:
        Auer, Cesa-Bianchi and Fischer (2002), Machine Learning 47. Duan et al. (2016), arXiv:1611.02779, tune c.
    """

    def __init__(self, c: float = 1.0, *, prior: bool = False) -> None:
        self.c, self.prior = c, prior

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        self._counts, self._step = ArmCounts(env), 0
        if self.prior:
            self._counts.successes += 1.0
            self._counts.failures += 1.0

    def act(self, obs: Tensor) -> Tensor:
        counts = self._counts
        pulls = counts.successes + counts.failures
        width = self.c * (2.0 * math.log(max(self._step, 1)) / pulls.clamp(min=1)).sqrt()
        bound = counts.successes / pulls.clamp(min=1) + width
        return torch.where(pulls == 0, float("inf"), bound).argmax(1)

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        self._counts.add(action, transition.reward)
        self._step += 1


class BestArm(ReferencePolicy):
    """Looks up the chances and pulls the best arm: the ceiling of one task."""

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        self._best = env.tasks.argmax(1)

    def act(self, obs: Tensor) -> Tensor:
        return self._best

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        """There is nothing to learn."""
