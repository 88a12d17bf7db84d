"""Trials, tasks, seeds and bad input, on the grid."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env
from gymnasium.vector import AutoresetMode

from metabench.envs import GYMNASIUM_IDS, environment_identifiers, load_environment, make_environment
from metabench.errors import ArgumentError, ContentError, ResetNeededError

GRID = "grid-navigation-v0"


def test_a_trial_is_four_episodes_of_fifteen_steps() -> None:
    env = make_environment(GRID, 3)
    env.reset_tensor(seed=1)
    tasks = env.tasks
    ends = []
    for _ in range(60):
        assert torch.equal(env.tasks, tasks)
        step = env.step_tensor(torch.full((3,), 2))
        ends.append((step.episode_end, step.trial_end))
    assert [i + 1 for i, end in enumerate(ends) if end[0]] == [15, 30, 45, 60]
    assert [i + 1 for i, end in enumerate(ends) if end[1]] == [60]
    assert step.next_obs.tolist() == [[4.0, 0.0]] * 3
    assert step.obs.tolist() == [[0.0, 0.0]] * 3


def test_gymnasium_sees_one_truncation_and_the_final_observation() -> None:
    env = gymnasium.make_vec("metabench/GridNavigation-v0", num_envs=2)
    assert env.metadata["autoreset_mode"] is AutoresetMode.SAME_STEP
    obs, _ = env.reset(seed=3)
    for step in range(60):
        assert obs in env.observation_space
        obs, reward, terminated, truncated, info = env.step(np.array([1, 2]))
        assert not terminated.any()
        assert truncated.all() == truncated.any() == (step == 59)
        assert ("final_obs" in info) == (step == 59)
        assert info["episode_end"].tolist() == [step % 15 == 14] * 2
        assert info["episode_index"].tolist() == [step // 15] * 2
        assert reward.shape == (2,)
    assert [final.tolist() for final in info["final_obs"]] == [[0.0, 4.0], [4.0, 0.0]]
    env.close()


def test_gymnasium_single_environment_passes_its_checker() -> None:
    env = gymnasium.make("metabench/GridNavigation-v0", render_mode="rgb_array")
    check_env(env.unwrapped)
    env.reset(seed=0)
    for step in range(60):
        obs, _, _, truncated, _ = env.step(1)
        assert truncated == (step == 59)
    assert obs.tolist() == [0.0, 4.0]
    with pytest.raises(ResetNeededError, match="reset"):
        env.unwrapped.step(1)


def test_set_task_holds_from_the_next_trial_on() -> None:
    env = make_environment(GRID, 2)
    env.reset_tensor()
    before = env.tasks
    env.set_task(torch.tensor([24, 4]))
    assert torch.equal(env.tasks, before)
    for _ in range(60):
        env.step_tensor(torch.zeros(2, dtype=torch.int64))
    assert env.tasks.tolist() == [24, 4]
    env.reset_tensor()
    assert env.tasks.tolist() == [24, 4]
    env.set_task(None)
    env.reset_tensor(seed=5)
    first = env.tasks
    env.reset_tensor(seed=5)
    assert torch.equal(env.tasks, first)


def test_a_saved_environment_goes_on_bit_for_bit() -> None:
    env, other = make_environment("grid-navigation-v0", 4), make_environment("grid-navigation-v0", 4)
    actions = torch.randint(5, (100, 4), generator=torch.Generator().manual_seed(0))
    env.reset_tensor(seed=7)
    for action in actions[:40]:
        env.step_tensor(action)
    other.load_state_dict(env.state_dict())
    for action in actions[40:]:
        left, right = env.step_tensor(action), other.step_tensor(action)
        assert all(torch.equal(a, b) for a, b in zip(left[:3], right[:3], strict=True))
        assert left[3:] == right[3:]
    assert torch.equal(env.tasks, other.tasks)


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda env: env.step(np.array([0, 5])), "expected 0 to 4"),
        (lambda env: env.step(np.array([-1, 0])), "expected 0 to 4"),
        (lambda env: env.step(np.array([0.5, 0.0])), "whole numbers"),
        (lambda env: env.step(np.array([0])), r"expected \(2,\)"),
        (lambda env: env.set_task(torch.tensor([24])), r"expected \(2,\)"),
        (lambda env: env.set_task(torch.tensor([0, 24])), "goal cells"),
        (lambda env: env.set_task(torch.tensor([24.0, 24.0])), "dtype"),
        (lambda env: env.sample_tasks(3, 0, "test"), "unknown split 'test'"),
        (lambda env: env.reset(options={"reset_mask": np.ones(2, bool)}), "unknown reset option"),
    ],
)
def test_bad_input_is_one_clear_line(call, message: str) -> None:
    env = make_environment(GRID, 2)
    env.reset()
    with pytest.raises(ArgumentError, match=message) as caught:
        call(env)
    assert "\n" not in str(caught.value)


def test_unknown_names_are_answered_with_the_nearest() -> None:
    with pytest.raises(ContentError, match="Did you mean 'grid-navigation-v0'"):
        make_environment("grid-navigaton-v0")
    with pytest.raises(ArgumentError, match=r"no parameter 'horizn'.*Did you mean 'horizon'"):
        make_environment(GRID, horizn=3)
    with pytest.raises(ArgumentError, match="data set"):
        make_environment("mnist1d-v1")
    with pytest.raises(ArgumentError, match="cannot read"):
        make_environment("grid-navigation-v0:size")
    assert make_environment("grid-navigation-v0:size=6,horizon=20").steps == 80


@pytest.mark.parametrize("call", [lambda env: env.step(np.zeros(1, int)), lambda env: env.step_tensor(torch.zeros(1))])
def test_a_step_before_reset_is_refused(call) -> None:
    with pytest.raises(ResetNeededError, match="reset"):
        call(make_environment(GRID, 1))


def test_gymnasiums_wrappers_work() -> None:
    env = gymnasium.wrappers.vector.RecordEpisodeStatistics(
        gymnasium.make_vec("metabench/Bandit-v0", num_envs=3, pulls=7)
    )
    env.reset(seed=0)
    total = np.zeros(3)
    for _ in range(7):
        _, reward, _, _, info = env.step(np.zeros(3, dtype=int))
        total += reward
    assert info["episode"]["r"].tolist() == total.tolist()
    assert info["episode"]["l"].tolist() == [7, 7, 7]


def test_gymnasium_passes_parameters_on() -> None:
    env = gymnasium.make_vec("metabench/Bandit-v0", num_envs=3, pulls=7, arms=4, split="held-out", seed=5)
    assert env.single_action_space.n == 4
    assert env.unwrapped.steps == 7
    with pytest.raises(gymnasium.error.NameNotFound, match="GridNavigation"):
        gymnasium.make_vec("metabench/GridNavigaton-v0")


def test_every_definition_is_registered_with_gymnasium() -> None:
    assert set(environment_identifiers()) == set(GYMNASIUM_IDS)
    for name, gymnasium_id in GYMNASIUM_IDS.items():
        assert load_environment(name).id == name
        env = gymnasium.make_vec(gymnasium_id, num_envs=2)
        obs, _ = env.reset(seed=0)
        assert obs in env.observation_space
