"""A vector environment of someone else's, written in NumPy, explored through the adapter."""

from typing import Any, ClassVar

import numpy as np
import pytest
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space

from metabench.envs import adapt_environment, make_environment
from metabench.errors import ArgumentError
from metabench.testing import check_environment


class Corridor(VectorEnv):
    """Walk left or right; the task is the rewarded end. Two episodes of three steps."""

    metadata: ClassVar[dict[str, Any]] = {"autoreset_mode": AutoresetMode.SAME_STEP}
    episodes, horizon = 2, 3

    def __init__(self, num_envs: int) -> None:
        self.num_envs = num_envs
        self.single_observation_space, self.single_action_space = spaces.Box(-3, 3, (1,)), spaces.Discrete(2)
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)
        self._chosen: np.ndarray | None = None
        self._generator: np.random.Generator | None = None

    def sample_tasks(self, n: int, seed: int, split: str = "all") -> np.ndarray:
        low, high = {"all": (0, 1000), "train": (0, 800), "held-out": (800, 1000)}[split]
        return np.random.default_rng(seed).integers(low, high, n)

    def set_task(self, tasks: np.ndarray | None) -> None:
        if tasks is not None and len(tasks) != self.num_envs:
            raise ValueError("one task for each copy")
        self._chosen = tasks

    def _begin(self) -> None:
        assert self._generator is not None
        drawn = self._generator.integers(0, 1000, self.num_envs)
        self.tasks = drawn if self._chosen is None else self._chosen
        self._at, self._clock = np.zeros((self.num_envs, 1), np.float32), 0

    def reset(self, *, seed: int | None = None, options: Any = None) -> Any:
        if seed is not None or self._generator is None:
            self._generator = np.random.default_rng(seed or 0)
        self._begin()
        return self._at, {}

    def step(self, actions: np.ndarray) -> Any:
        if self._generator is None or actions.shape != (self.num_envs,) or actions.min() < 0 or actions.max() > 1:
            raise ValueError("reset first; actions 0 or 1")
        self._at = self._at + (2 * actions[:, None] - 1).astype(np.float32)
        next_obs, self._clock = self._at, self._clock + 1
        reward = self._at[:, 0] * (2 * (self.tasks % 2) - 1)
        end, last = self._clock % 3 == 0, self._clock == 6
        info = {"next_obs": next_obs, "episode_end": np.full(self.num_envs, end)}
        if last:
            info["final_obs"] = np.fromiter(next_obs, dtype=object, count=self.num_envs)
            self._begin()
        elif end:
            self._at = np.zeros_like(self._at)
        return self._at, reward, np.zeros(self.num_envs, bool), np.full(self.num_envs, last), info


def test_it_conforms() -> None:
    check_environment(Corridor)


def test_the_tensor_path_is_the_numpy_path() -> None:
    own, other = adapt_environment(Corridor(4)), Corridor(4)
    obs, expected = own.reset_tensor(seed=3), other.reset(seed=3)[0]
    assert obs.tolist() == expected.tolist()
    for step, action in enumerate(np.random.default_rng(0).integers(0, 2, (12, 4))):
        assert (own.episode, own.episode_step) == (step % 6 // 3, step % 3)
        transition = own.step_tensor(torch.as_tensor(action))
        expected, reward, _, truncated, info = other.step(action)
        assert transition.obs.tolist() == expected.tolist()
        assert transition.next_obs.tolist() == info["next_obs"].tolist()
        assert transition.reward.tolist() == reward.tolist()
        assert transition.trial_end == truncated[0]
        assert transition.episode_end == info["episode_end"][0]
    assert own.sample_tasks(3, 0).shape == (3,)


def test_ours_needs_no_adapter_and_others_must_have_tasks() -> None:
    env = make_environment("grid-navigation-v0", 2)
    assert adapt_environment(env) is env
    import gymnasium

    with pytest.raises(ArgumentError, match="no 'episodes'"):
        adapt_environment(gymnasium.make_vec("CartPole-v1", num_envs=2))
    with pytest.raises(ArgumentError, match="cannot be resumed"):
        adapt_environment(Corridor(2)).state_dict()
