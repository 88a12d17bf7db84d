"""The kit accepts every shipped environment and finds each kind of fault."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

from metabench.envs import TrialVectorEnv, environment_identifiers, make_environment
from metabench.errors import ConformanceError
from metabench.testing import check_environment

SHORT = {
    "treasure-hunt-v0": {"horizon": 20},
    "sparse-point-v0": {"horizon": 12},
    "mdp-playground-v0": {
        "delay": 1,
        "sequence_length": 2,
        "transition_noise": 0.1,
        "reward_noise": 1.0,
        "irrelevant_features": 1,
    },
}


@pytest.mark.parametrize("name", environment_identifiers())
def test_every_shipped_environment_conforms(name: str) -> None:
    check_environment(lambda n: make_environment(name, n, **SHORT.get(name, {})))


class _Grid(TrialVectorEnv):
    """The grid, made to misbehave by the subclasses below."""

    def __init__(self, n: int) -> None:
        super().__init__(make_environment("grid-navigation-v0:episodes=2").family, n)


class _Terminates(_Grid):
    def step(self, actions: Any) -> Any:
        obs, reward, _, truncated, info = super().step(actions)
        return obs, reward, truncated, np.zeros_like(truncated), info


class _OneStepMore(_Grid):
    @property
    def steps(self) -> int:
        return self.episodes * self.horizon + 1


class _CopiesTouch(_Grid):
    def step(self, actions: Any) -> Any:
        obs, reward, *rest = super().step(actions)
        return obs, np.full_like(reward, reward.mean()), *rest


class _GlobalRandom(_Grid):
    def reset_tensor(self, *, seed: int | None = None) -> torch.Tensor:
        torch.rand(1)
        return super().reset_tensor(seed=seed)


class _ForgetsTask(_Grid):
    def set_task(self, tasks: Any) -> None:
        if tasks is not None:
            self._checked_tasks(tasks)


class _IgnoresSeed(_Grid):
    def reset_tensor(self, *, seed: int | None = None) -> torch.Tensor:
        return super().reset_tensor()


class _OneSplit(_Grid):
    def sample_tasks(self, n: int, seed: int, split: str | None = None) -> torch.Tensor:
        return super().sample_tasks(n, seed, "train" if split == "held-out" else split)


class _TakesAnyAction(_Grid):
    def _checked_actions(self, actions: Any) -> torch.Tensor:
        return torch.as_tensor(np.asarray(actions)).clamp(max=4)


class _LateObservation(_Grid):
    def step(self, actions: Any) -> Any:
        obs, *rest, info = super().step(actions)
        info.pop("final_obs", None)
        return obs, *rest, info


class _NoEpisodeEnd(_Grid):
    def step(self, actions: Any) -> Any:
        *rest, info = super().step(actions)
        del info["episode_end"]
        return *rest, info


class _Doubles(_Grid):
    def step(self, actions: Any) -> Any:
        obs, reward, *rest = super().step(actions)
        return obs, reward.astype(np.float64).astype(np.int64), *rest


class _LendsItsState(_Grid):
    def step_tensor(self, action: torch.Tensor) -> Any:
        transition = super().step_tensor(action)
        self._lent = getattr(self, "_lent", transition.obs)
        own = (self._lent == 0.5).all()
        return transition._replace(reward=transition.reward + own)


class _ForgetsGenerator(_Grid):
    def load_state_dict(self, saved: dict[str, Any]) -> None:
        super().load_state_dict({**saved, "task_generator": torch.Generator().manual_seed(99).get_state()})


@pytest.mark.parametrize(
    ("make", "fault"),
    [
        (_Terminates, r"\[ends\]: terminated"),
        (_OneStepMore, r"\[ends\]: truncated"),
        (_CopiesTouch, "independent copies"),
        (_GlobalRandom, "no global random state"),
        (_ForgetsTask, r"\[tasks\]: set_task"),
        (_IgnoresSeed, r"\[seeds\]"),
        (_OneSplit, r"\[splits\]"),
        (_TakesAnyAction, r"\[mistakes\]"),
        (_LateObservation, "final_obs"),
        (_NoEpisodeEnd, "episode_end"),
        (_Doubles, r"\[rewards\]"),
        (_LendsItsState, "writing into a returned observation"),
        (_ForgetsGenerator, r"\[resume\]"),
        (lambda n: make_environment("grid-navigation-v0", n + 1), "6 were asked for"),
        (lambda n: object(), "VectorEnv"),
    ],
)
def test_each_fault_is_found(make: Callable[[int], Any], fault: str) -> None:
    with pytest.raises(ConformanceError, match=fault):
        check_environment(make)
