"""One copy of an environment behind gymnasium's single-environment interface."""

from __future__ import annotations

from typing import Any, ClassVar

import gymnasium
import numpy as np

from metabench.envs.trial import TrialVectorEnv
from metabench.errors import ArgumentError, ResetNeededError

__all__ = ["TrialEnv"]


class TrialEnv(gymnasium.Env):
    """A trial as one gymnasium episode: truncated after E * H steps, then to be reset by the caller.

    Args:
        trials: a vector environment of one copy.
    """

    metadata: ClassVar[dict[str, Any]] = {"render_modes": ["rgb_array"], "render_fps": 5}  # type: ignore[misc]

    def __init__(self, trials: TrialVectorEnv) -> None:
        if trials.num_envs != 1:
            raise ArgumentError(f"an environment of {trials.num_envs} copies; expected one copy.")
        self.trials = trials
        self.observation_space, self.action_space = trials.single_observation_space, trials.single_action_space
        self.render_mode = trials.render_mode
        self._running = False

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins a trial."""
        super().reset(seed=seed)
        obs, _ = self.trials.reset(seed=seed, options=options)
        self._running = True
        return obs[0], {}

    def step(self, action: Any) -> tuple[np.ndarray, float, bool, bool, dict[str, Any]]:
        """Takes one step; ``info`` has ``next_obs``, ``episode_end``, ``episode_index`` and ``episode_step``.

        Raises:
            ResetNeededError: before ``reset``, and after the trial's end.
        """
        if not self._running:
            raise ResetNeededError("no trial is running; call reset() first.")
        obs, reward, _, truncated, info = self.trials.step(np.asarray(action)[None])
        self._running = not truncated[0]
        single = {key: info[key][0] for key in ("next_obs", "episode_end", "episode_index", "episode_step")}
        return (obs if self._running else info["next_obs"])[0], float(reward[0]), False, bool(truncated[0]), single

    def render(self) -> np.ndarray | None:  # type: ignore[override]
        """The copy's RGB frame, in render mode ``rgb_array``."""
        frames = self.trials.render()
        return None if frames is None else frames[0]
