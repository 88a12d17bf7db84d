"""Every environment against its plain Python twin over random actions, episode by episode."""

import itertools

import numpy as np
import pytest
import torch
from twins import BanditTwin, GridTwin, PlaygroundTwin, PointTwin, RoomsTwin, TabularTwin, TreasureTwin

from metabench.envs import make_environment
from metabench.envs.room_navigation import goals_of_tasks

N = 60


def _actions(env, steps: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    shape = env.single_action_space.shape
    if shape:
        return torch.rand(steps, env.num_envs, *shape, generator=generator) * 2.4 - 1.2  # some beyond the limits
    return torch.randint(int(env.single_action_space.n), (steps, env.num_envs), generator=generator)


def _compare(env, twins: list) -> None:
    """Runs one whole trial of an environment without chance, its tasks fixed, beside its copies' twins."""
    for twin, seen in zip(twins, env.reset_tensor(seed=4), strict=True):
        np.testing.assert_allclose(seen.numpy(), twin.reset(), atol=1e-6)
    for action in _actions(env, env.steps):
        step = env.step_tensor(action)
        for i, twin in enumerate(twins):
            single = action[i].clamp(-1, 1).tolist() if action.ndim > 1 else int(action[i])
            seen, reward = twin.step(single)
            np.testing.assert_allclose(step.next_obs[i].numpy(), seen, atol=2e-5)
            np.testing.assert_allclose(float(step.reward[i]), reward, atol=2e-5)
            if step.episode_end:
                seen = twin.reset()
                np.testing.assert_allclose(step.obs[i].numpy(), seen, atol=1e-6)


def test_grid() -> None:
    env = make_environment("grid-navigation-v0", N)
    env.set_task(env.sample_tasks(N, 1))
    obs = env.reset_tensor(seed=4)
    assert obs.tolist() == [[0.0, 0.0]] * N
    _compare(env, [GridTwin((int(goal) % 5, int(goal) // 5)) for goal in env.tasks])


def test_grid_goals_are_the_specified_twenty_one() -> None:
    env = make_environment("grid-navigation-v0", 1)
    goals = {(int(goal) % 5, int(goal) // 5) for goal in env.sample_tasks(2000, 0)}
    near = {(0, 0), (0, 1), (1, 0), (1, 1)}
    assert goals == set(itertools.product(range(5), range(5))) - near


def test_rooms_over_all_tasks() -> None:
    env = make_environment("room-navigation-v0:horizon=150", 48)
    env.set_task(torch.arange(48))
    env.reset_tensor(seed=4)
    _compare(env, [RoomsTwin(goals) for goals in goals_of_tasks()])


def test_rooms_have_forty_eight_tasks_with_the_second_goal_on_the_side_of_the_first() -> None:
    tasks = goals_of_tasks()
    assert len(set(tasks)) == 48
    middle = {(6, 0), (6, 2), (8, 0), (8, 2)}
    for first, second, third in tasks:
        assert {first, third} <= middle
        assert first != third
        assert second[0] in ((0, 2) if first[0] == 6 else (12, 14))
        assert second[1] in (0, 2)


def test_rooms_pay_for_all_three_goals_in_turn() -> None:
    # goals (6,0), (2,0), (8,0): left, down; then left along the corridor; then back to the right.
    task = goals_of_tasks().index(((6, 0), (2, 0), (8, 0)))
    env = make_environment("room-navigation-v0", 1)
    env.set_task(torch.tensor([task]))
    env.reset_tensor()
    walk = [4, 3] + [1, 4, 4, 4, 4, 3] + [1] + [2] * 6 + [3] + [0]
    rewards = [float(env.step_tensor(torch.tensor([action])).reward) for action in walk]
    np.testing.assert_allclose(rewards, [-0.1, 1.0] + [-0.1] * 5 + [10.0] + [-0.1] * 7 + [100.0, 100.0], atol=1e-6)


def test_treasure_hunt() -> None:
    env = make_environment("treasure-hunt-v0:horizon=150", N)
    env.reset_tensor(seed=4)
    env.set_task(env.tasks)
    env.reset_tensor(seed=4)
    _compare(env, [TreasureTwin(float(angle)) for angle in env.tasks])


def test_treasure_is_seen_from_the_top_alone_and_pays_ten() -> None:
    env = make_environment("treasure-hunt-v0", 1)
    env.set_task(torch.tensor([0.0]))
    obs = env.reset_tensor()
    assert obs.tolist() == [[0.0, -1.0, 0.0, 0.0]]
    for _ in range(10):  # straight up to the middle
        step = env.step_tensor(torch.tensor([[0.0, 1.0]]))
    np.testing.assert_allclose(step.obs[0].numpy(), [0.0, 0.0, 1.0, 0.0], atol=1e-6)
    np.testing.assert_allclose(step.reward.numpy(), [-5.5], atol=1e-6)
    for _ in range(10):
        step = env.step_tensor(torch.tensor([[1.0, 0.0]]))
    assert step.reward.tolist() == [10.0]


def test_sparse_point() -> None:
    env = make_environment("sparse-point-v0", 20)
    env.set_task(env.sample_tasks(20, 3))
    env.reset_tensor(seed=4)
    _compare(env, [PointTwin(float(angle)) for angle in env.tasks])


def _generators(env) -> torch.Generator:
    """A copy of the environment's dynamics stream as it stands after reset."""
    copy = torch.Generator()
    copy.set_state(env.state_dict()["generator"])
    return copy


def test_bandit() -> None:
    env = make_environment("bandit-v0:pulls=40,arms=5", N)
    env.reset_tensor(seed=4)
    twins, chance = [BanditTwin(task) for task in env.tasks.tolist()], _generators(env)
    for action in _actions(env, 40):
        step, uniform = env.step_tensor(action), torch.rand(N, generator=chance).tolist()
        expected = [twin.step(int(a), u)[1] for twin, a, u in zip(twins, action, uniform, strict=True)]
        assert step.reward.tolist() == expected
        assert step.obs.tolist() == [[0.0]] * N


def test_tabular_mdp() -> None:
    env = make_environment("tabular-mdp-v0:episodes=4", N)
    env.reset_tensor(seed=4)
    twins, chance = [TabularTwin(task) for task in env.tasks.tolist()], _generators(env)
    for twin in twins:
        twin.reset()
    for action in _actions(env, env.steps):
        step = env.step_tensor(action)
        uniform, noise = torch.rand(N, 1, generator=chance)[:, 0].tolist(), torch.randn(N, generator=chance).tolist()
        for i, twin in enumerate(twins):
            seen, reward = twin.step(int(action[i]), uniform[i], noise[i])
            assert step.next_obs[i].tolist() == seen
            np.testing.assert_allclose(float(step.reward[i]), reward, atol=1e-5)
            if step.episode_end:
                assert step.obs[i].tolist() == twin.reset()


@pytest.mark.parametrize(("delay", "length", "noise", "features"), [(0, 1, 0.0, 0), (3, 2, 0.2, 1), (1, 3, 0.1, 2)])
def test_mdp_playground(delay: int, length: int, noise: float, features: int) -> None:
    env = make_environment(
        "mdp-playground-v0",
        N,
        delay=delay,
        sequence_length=length,
        transition_noise=noise,
        reward_noise=noise,
        irrelevant_features=features,
        reward_density=0.5,
    )
    obs = env.reset_tensor(seed=4)
    moves, flags, irrelevant = env.family.split_task(env.tasks)
    sequences = list(itertools.product(range(8), repeat=length))
    twins = []
    for i in range(N):
        rewarded = {sequence for sequence, flag in zip(sequences, flags[i].tolist(), strict=True) if flag}
        assert all(len(set(sequence)) == length for sequence in rewarded)
        tables = irrelevant[i].view(features, 64).tolist()
        twins.append(PlaygroundTwin(moves[i].tolist(), rewarded, tables, delay, length))

    def begin(obs: torch.Tensor) -> None:
        for twin, seen in zip(twins, obs, strict=True):
            places = seen.view(-1, 8).argmax(1).tolist()
            assert seen.tolist() == twin.reset(places[0], places[1:])

    begin(obs)
    chance, paid = _generators(env), 0.0
    for action in _actions(env, env.steps):
        step = env.step_tensor(action)
        shift = torch.zeros(N, dtype=torch.int64)
        if noise:
            slips = torch.rand(N, generator=chance) < noise
            shift = torch.where(slips, torch.randint(1, 8, (N,), generator=chance), 0)
        added = torch.randn(N, generator=chance) * noise if noise else torch.zeros(N)
        for i, twin in enumerate(twins):
            seen, reward = twin.step(int(action[i]), int(shift[i]), float(added[i]))
            assert step.next_obs[i].tolist() == seen
            np.testing.assert_allclose(float(step.reward[i]), reward, atol=1e-5)
            paid += round(reward - float(added[i]))
        if step.episode_end and not step.trial_end:
            begin(step.obs)
            torch.randint(8, (N, 1 + features), generator=chance)  # the start states just drawn
    assert paid > 0


def test_playground_density_and_permutations() -> None:
    env = make_environment("mdp-playground-v0:sequence_length=2,reward_density=0.25", 1)
    moves, flags, _ = env.family.split_task(env.sample_tasks(50, 0))
    assert flags.sum(1).tolist() == [14] * 50  # a quarter of 8 * 7 sequences
    assert torch.equal(moves.view(50, 8, 8).sort(-1).values, torch.arange(8).expand(50, 8, 8))


def test_priors_have_the_specified_moments() -> None:
    """Sample moments within 5 standard errors of the priors'."""
    chances = make_environment("bandit-v0", 1).sample_tasks(20_000, 0)
    assert abs(float(chances.mean()) - 0.5) < 5 * (1 / 12 / chances.numel()) ** 0.5
    tasks = make_environment("tabular-mdp-v0", 1).sample_tasks(2_000, 0)
    means, first = tasks[..., 10], tasks[..., 0]
    assert abs(float(means.mean()) - 1) < 5 / means.numel() ** 0.5
    assert abs(float(means.std()) - 1) < 5 / (2 * means.numel()) ** 0.5
    # A coordinate of Dirichlet(1, ..., 1) in 10 dimensions is Beta(1, 9): variance 9 / (100 * 11).
    assert abs(float(first.mean()) - 0.1) < 5 * (9 / 1100 / first.numel()) ** 0.5
    assert abs(float(first.var()) - 9 / 1100) < 0.05 * 9 / 1100
