"""The step-size environment: gymnasium's checker, numbers by hand, and policies that order as they should."""

from __future__ import annotations

import math

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env

from metabench.errors import ArgumentError, ResetNeededError
from metabench.learned.dac import SGDControl, SGDControlVector
from metabench.learned.dac_scores import RATES, score_policy, score_table, static_policy
from metabench.problems import ArchitectureProblem, Parabola, Quadratic
from metabench.seeding import derive

NETWORK = ArchitectureProblem(task="spirals-v1", architecture="mlp.deq", width=8, batch_size=8)


@pytest.mark.parametrize("env", [SGDControl(), SGDControl(Quadratic(3), gradient="rms"), SGDControl(NETWORK, steps=3)])
def test_gymnasiums_checker_passes(env, recwarn) -> None:
    check_env(env, skip_render_check=True)
    messages = [str(w.message) for w in recwarn]
    # A gradient has no bounds, actions are as published, and the environment is not in the registry.
    assert not [text for text in messages if not any(word in text for word in ("infinity", "spec", "normalized"))]


def test_an_episode_by_hand() -> None:
    env = SGDControl(steps=2)
    observation, info = env.reset(seed=3)
    a, b, c = (v.item() for v in Parabola().batch([info["instance"]], 0)[0])
    assert observation["gradient"].item() == pytest.approx(b)  # f'(0)
    assert observation["remaining_budget"].item() == 2
    assert observation["learning_rate"].item() == observation["momentum"].item() == 0
    x = velocity = 0.0
    for rate, momentum, left in ((0.01, 1e-10, 1), (0.1, 0.5, 0)):
        velocity = momentum * velocity + rate * (2 * a * x + b)
        x -= velocity
        observation, reward, terminated, truncated, _ = env.step(np.log10([rate, momentum]))
        regret = a * x**2 + b * x + c - (c - b**2 / (4 * a))
        assert reward == pytest.approx(-math.log(regret), rel=1e-3)
        assert observation["gradient"].item() == pytest.approx(2 * a * x + b, rel=1e-4)
        assert observation["learning_rate"].item() == pytest.approx(rate)
        assert observation["momentum"].item() == pytest.approx(momentum)
        assert (terminated, truncated) == (False, left == 0)
    with pytest.raises(ResetNeededError):
        env.step(np.zeros(2))


def test_the_minimum_of_a_parabola_is_its_vertex() -> None:
    coefficients = Parabola().batch(range(50), 0)
    a, b, _ = coefficients.unbind(1)
    at_vertex = Parabola().loss({"x": (-b / (2 * a))[:, None]}, coefficients)
    np.testing.assert_allclose(Parabola().minimum(range(50)), at_vertex, rtol=1e-4, atol=1e-4)


def test_the_vector_environment_equals_single_ones_and_begins_again() -> None:
    env = SGDControlVector(num_envs=3, steps=2)
    first, _ = env.reset(seed=5)
    assert env.observation_space.contains(first)
    actions = np.array([[-1.0, -10], [-2, -1], [-0.5, -10]])
    single = SGDControl(steps=2)
    single.reset(seed=0)
    expected = []
    for place, action in enumerate(actions):
        single._descent.reset([derive("dac", 5, 0, place)])
        expected.append([single.step(action)[1] for _ in range(2)])
    rewards, info = [], {}
    for _ in range(2):
        observation, reward, terminated, truncated, info = env.step(actions)
        rewards.append(reward)
    np.testing.assert_allclose(np.array(rewards).T, expected, rtol=1e-5)
    assert truncated.all()
    assert not terminated.any()
    assert (info["final_obs"]["remaining_budget"] == 0).all()
    assert (observation["remaining_budget"] == 2).all()
    assert not np.array_equal(observation["gradient"], first["gradient"])


def test_divergence_stays_in_the_spaces() -> None:
    env = SGDControlVector(Quadratic(3), num_envs=2, steps=60)
    env.reset(seed=0)
    for _ in range(60):
        _, reward, _, _, info = env.step(np.zeros((2, 2)))
    assert env.observation_space.contains(info["final_obs"])
    assert reward.tolist() == pytest.approx([-math.log(1e10)] * 2)


def test_scores_order_as_they_should() -> None:
    table = score_table(Quadratic(5), instances=40, steps=10)
    rows = {row.name.partition(", rate")[0]: row for row in table}
    assert rows["static, momentum 0"].mean > rows["random"].mean
    assert rows["Adam"].mean > rows["random"].mean
    tiny = score_policy("", static_policy(RATES[0]), Quadratic(5), instances=40, steps=10, seed=0)
    assert rows["static, momentum 0"].mean > tiny.mean
    assert len(RATES) == 14


@pytest.mark.parametrize(
    "make",
    [
        lambda: SGDControl(steps=0),
        lambda: SGDControl(gradient="norm"),  # type: ignore[arg-type]
        lambda: SGDControlVector(num_envs=0),
        lambda: SGDControlVector(num_envs=2).reset(seed=[0, 1]),
        lambda: score_table(Parabola(), instances=1),
    ],
)
def test_bad_arguments(make) -> None:
    with pytest.raises(ArgumentError, match="expected"):
        make()


def test_bad_actions() -> None:
    env = SGDControl()
    with pytest.raises(ResetNeededError):
        env.step(np.zeros(2))
    env.reset(seed=0)
    for action in (np.zeros(3), np.array([np.nan, 0.0])):
        with pytest.raises(ArgumentError, match="log10"):
            env.step(action)


def test_gymnasium_makes_it_by_its_id(recwarn) -> None:
    import metabench.envs  # noqa: F401 (registers the ids)

    env = gymnasium.make("metabench/SGDControl-v0", steps=4)
    check_env(env.unwrapped, skip_render_check=True)
    messages = [str(w.message) for w in recwarn]
    assert not [text for text in messages if not any(word in text for word in ("infinity", "normalized"))]
    several = gymnasium.make_vec("metabench/SGDControl-v0", num_envs=3, steps=4, problem=Quadratic(3))
    observation, _ = several.reset(seed=1)
    assert observation["gradient"].shape == (3, 3)
