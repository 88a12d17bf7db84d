"""Frames and trajectory pictures of every environment."""

import gymnasium
import numpy as np
import pytest
import torch
from gymnasium.utils.env_checker import check_env

from metabench.envs import (
    GYMNASIUM_IDS,
    draw_trajectory,
    environment_identifiers,
    make_environment,
    record_trajectory,
)
from metabench.envs.raster import COLOURS
from metabench.envs.references import make_policy


@pytest.mark.parametrize("name", environment_identifiers())
def test_frames_show_the_agent(name: str) -> None:
    env = gymnasium.make_vec(GYMNASIUM_IDS[name], num_envs=2, render_mode="rgb_array")
    env.reset(seed=1)
    env.step(env.action_space.sample())
    frames = env.render()
    assert frames is not None
    assert len(frames) == 2
    for frame in frames:
        assert frame.dtype == np.uint8
        assert frame.shape[2] == 3
        assert (frame == COLOURS["agent"]).all(-1).any()


def test_a_frame_of_the_grid_is_seen_from_above_with_y_upwards() -> None:
    env = make_environment("grid-navigation-v0", 1, render_mode="rgb_array")
    env.set_task(torch.tensor([24]))  # (4, 4)
    env.reset()
    frame = env.render()[0]
    assert frame.shape == (5 * 24 + 1, 5 * 24 + 1, 3)
    assert tuple(frame[12, 4 * 24 + 12]) == COLOURS["goal"]  # top right
    assert tuple(frame[4 * 24 + 12, 12]) == COLOURS["agent"]  # bottom left


@pytest.mark.parametrize("name", environment_identifiers())
def test_single_environments_pass_gymnasiums_checker(name: str) -> None:
    env = gymnasium.make(GYMNASIUM_IDS[name], render_mode="rgb_array")
    check_env(env.unwrapped)


def test_no_frame_without_a_render_mode() -> None:
    env = make_environment("bandit-v0", 1)
    env.reset()
    assert env.render() is None


@pytest.mark.parametrize("name", environment_identifiers())
def test_trajectory_pictures(name: str, tmp_path) -> None:
    env = make_environment(name, 3)
    trajectory = record_trajectory(make_policy(name, "random"), env, copy=1, seed=2)
    assert trajectory.rewards.shape == (env.episodes, env.horizon)
    assert trajectory.obs.shape[:2] == (env.episodes, env.horizon + 1)
    figure = draw_trajectory(env, trajectory)
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles[0] == f"episode 1: return {float(trajectory.rewards[0].sum()):.1f}"
    assert len(titles) == env.episodes
    figure.savefig(tmp_path / "trajectory.png")


def test_a_recorded_trajectory_is_the_trial_of_that_copy() -> None:
    env = make_environment("grid-navigation-v0", 2)
    trajectory = record_trajectory(make_policy("grid-navigation-v0", "goal-known"), env, copy=1, seed=0)
    goal = env.family.layout.cells[int(trajectory.task)]
    assert trajectory.obs[0, 0].tolist() == [0.0, 0.0]
    assert trajectory.obs[3, -1].tolist() == list(map(float, goal))
    assert float(trajectory.rewards[0].sum()) == pytest.approx(16.1 - 1.1 * sum(goal), abs=1e-5)
