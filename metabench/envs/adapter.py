"""The tensor path for a vector environment of someone else's."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import VectorEnv
from torch import Tensor

from metabench.envs.family import Transition
from metabench.envs.trial import TrialVectorEnv
from metabench.errors import ArgumentError

__all__ = ["AdaptedVectorEnv", "adapt_environment"]

_NAMES = ("episodes", "horizon", "sample_tasks", "set_task", "tasks")


class AdaptedVectorEnv:
    """``reset_tensor`` and ``step_tensor`` over a NumPy vector environment with the task interface.

    The environment has ``episodes``, ``horizon``, ``sample_tasks(n, seed, split)``, ``set_task(tasks)`` and ``tasks``,
    and puts ``next_obs`` into ``info``; :func:`metabench.testing.check_environment` checks it. The rest is passed
    on.

    Args:
        env: the environment.
        device: where observations and rewards go.
    """

    family = None

    def __init__(self, env: Any, device: torch.device | str = "cpu") -> None:
        self.env, self.device = env, torch.device(device)
        self._clock = 0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.env, name)

    @property
    def steps(self) -> int:
        """Transitions of a trial, E * H."""
        return self.env.episodes * self.env.horizon

    @property
    def episode(self) -> int:
        """The episode that the next step belongs to, from 0."""
        return self._clock // self.env.horizon

    @property
    def episode_step(self) -> int:
        """Steps taken in this episode."""
        return self._clock % self.env.horizon

    def reset_tensor(self, *, seed: int | None = None) -> Tensor:
        """Begins a new trial in every copy."""
        obs, _ = self.env.reset(seed=seed)
        self._clock = 0
        return self._tensor(obs)

    def step_tensor(self, action: Tensor) -> Transition:
        """Takes one step; continuous actions are clipped to the action space."""
        space = self.env.single_action_space
        array = action.cpu().numpy()
        if isinstance(space, spaces.Box):
            array = np.clip(array, space.low, space.high)
        obs, reward, _, _, info = self.env.step(array)
        self._clock += 1
        episode_end, trial_end = self._clock % self.env.horizon == 0, self._clock == self.steps
        self._clock %= self.steps
        first = self._tensor(obs)
        next_obs = self._tensor(info["next_obs"]) if episode_end else first
        return Transition(first, self._tensor(reward), next_obs, episode_end, trial_end)

    def state_dict(self) -> dict[str, Any]:
        """The clock and the environment's own ``state_dict``.

        Raises:
            ArgumentError: if the environment has none, so that a run in it cannot be resumed.
        """
        if not hasattr(self.env, "state_dict"):
            raise ArgumentError(f"{type(self.env).__name__} has no state_dict; a run in it cannot be resumed.")
        return {"clock": self._clock, "env": self.env.state_dict()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Goes on from what :meth:`state_dict` gave."""
        self._clock = saved["clock"]
        self.env.load_state_dict(saved["env"])

    def _tensor(self, array: Any) -> Tensor:
        # A copy, because the environment may write into its arrays again.
        return torch.tensor(np.asarray(array), dtype=torch.float32, device=self.device)


def adapt_environment(env: VectorEnv, device: torch.device | str = "cpu") -> TrialVectorEnv | AdaptedVectorEnv:
    """Gives an environment the tensor path, unless it has it already.

    Raises:
        ArgumentError: if it lacks a part of the task interface.
    """
    if isinstance(env, TrialVectorEnv):
        return env
    missing = [name for name in _NAMES if name != "tasks" and not hasattr(env, name)]
    if missing:
        raise ArgumentError(
            f"{type(env).__name__} has no {missing[0]!r}; expected a vector environment with {', '.join(_NAMES)}. "
            "Check it by metabench.testing.check_environment."
        )
    return AdaptedVectorEnv(env, device)
