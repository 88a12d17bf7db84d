"""The finite-horizon Gittins index of a Bernoulli arm."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from torch import Tensor

from metabench.envs.bandit import Bandit
from metabench.envs.family import Transition
from metabench.envs.references.bandit_policies import ArmCounts
from metabench.envs.references.policy import ReferencePolicy
from metabench.envs.trial import TrialVectorEnv

__all__ = ["GittinsIndex", "finite_horizon_index"]


@lru_cache(maxsize=4)
def finite_horizon_index(horizon: int, resolution: int = 256) -> np.ndarray:
    """The index of every posterior at every number of pulls left.

    An arm with s successes and f failures (uniform prior) and h pulls left is worth the charge for a pull at which the
    best stopping rule breaks even: the largest rate of reward that pulling it up to h times, and stopping at will, can
    earn. With W the value of one pull and going on optimally at charge c,

        W_h(s, f) = p - c + p max(0, W_{h-1}(s + 1, f)) + (1 - p) max(0, W_{h-1}(s, f + 1)),   p = (s + 1) / (s + f +
        2),

    W decreases in c, is convex, and the index is where it is zero: found between two of the charges tried, by a line.

    Args:
        horizon: pulls of a trial, n.
        resolution: charges tried, spread evenly over [0, 1].

    Returns:
        ``(n + 1, n + 1, n + 1)`` float32, by pulls left, s and f; NaN where s + f + h > n, and for h = 0.

    Reference:
        Gittins (1979), JRSS B 41; for finite horizons Ginebra and Clayton (1999), and Lattimore (2016),
        arXiv:1511.06014.
    """
    charges = np.linspace(0.0, 1.0, resolution)
    index = np.full((horizon + 1,) * 3, np.nan, dtype=np.float32)
    s, f = np.meshgrid(np.arange(horizon), np.arange(horizon), indexing="ij")
    # (s, f, charge); at h pulls left only s, f <= n - h are needed.
    later = np.zeros((horizon + 1, horizon + 1, resolution))
    for left in range(1, horizon + 1):
        size = horizon - left + 1
        p = ((s[:size, :size] + 1) / (s[:size, :size] + f[:size, :size] + 2))[..., None]
        value = p * later[1 : size + 1, :size] + (1 - p) * later[:size, 1 : size + 1] + p - charges
        # The last charge at which pulling is still worth it; at charge 0 it always is, at charge 1 never.
        last = (value > 0).sum(-1) - 1
        high = np.take_along_axis(value, last[..., None], -1)[..., 0]
        low = np.take_along_axis(value, np.minimum(last + 1, resolution - 1)[..., None], -1)[..., 0]
        found = charges[last] + high / (high - low) / (resolution - 1)
        inside = s[:size, :size] + f[:size, :size] + left <= horizon
        index[left, :size, :size] = np.where(inside, found, np.nan)
        later = np.maximum(value, 0.0)
    return index


class GittinsIndex(ReferencePolicy):
    """Pulls the arm of largest finite-horizon index: Bayes-optimal for one arm and a charge, near to it for several."""

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        assert isinstance(env.family, Bandit)
        self._env, self._counts = env, ArmCounts(env)
        self._index = torch.as_tensor(finite_horizon_index(env.horizon), device=env.device)

    def act(self, obs: Tensor) -> Tensor:
        table = self._index[self._env.horizon - self._env.episode_step]
        return table[self._counts.successes.long(), self._counts.failures.long()].argmax(1)

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        self._counts.add(action, transition.reward)
