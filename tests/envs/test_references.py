"""Reference policies and exact values: against brute force, computation by hand, and published figures."""

import itertools
import math

import numpy as np
import pytest
import torch
from expectimax import bayes_value
from twins import GridTwin, RoomsTwin

from metabench.envs import environment_identifiers, load_environment, make_environment, make_family
from metabench.envs.references import (
    estimate_return,
    finite_horizon_index,
    make_policy,
    optimal_value,
    plan,
    policies_of,
    run_trial,
    solve_beliefs,
    solve_playground,
    solve_rooms,
)
from metabench.envs.references.bandit_policies import UCB1
from metabench.envs.references.grid_optimal import bound_per_episode, search_plan
from metabench.envs.references.psrl import draw_mean_rewards
from metabench.envs.room_navigation import goals_of_tasks
from metabench.errors import ArgumentError, UnknownNameError


def _estimate(name: str, policy: str, problems: int = 20_000) -> tuple[tuple[float, ...], float]:
    result = estimate_return(name, policy, problems=problems, seed=1)
    return result.mean, result.standard_error


# Grid


def test_grid_reaches_its_bound_in_every_episode() -> None:
    # Specification: goal known 11.0714, Bayes-optimal 4.0 then 11.0714. By hand: a goal's mean distance is 96/21 and an
    # episode pays 16 - d - 0.1 (d - 1) = 16.1 - 1.1 d; 14 goals tried at steps 2 to 15 pay 94.5, missing 7 pays -10.5.
    known = 16.1 - 1.1 * 96 / 21
    assert bound_per_episode(make_family("grid-navigation-v0")) == pytest.approx((4.0, known))
    assert known == pytest.approx(11.0714, abs=1e-4)
    assert _estimate("grid-navigation-v0", "goal-known")[0] == pytest.approx([known] * 4, abs=1e-5)
    assert _estimate("grid-navigation-v0", "bayes-optimal")[0] == pytest.approx([4.0] + [known] * 3, abs=1e-5)


def test_grid_posterior_sampling() -> None:
    mean, error = _estimate("grid-navigation-v0", "posterior-sampling")
    # Specification: about -.77, 1.22, 2.95, 4.52; the spread of one episode is below that of the trial.
    assert mean == pytest.approx((-0.77, 1.22, 2.95, 4.52), abs=4 * error)
    assert error < 0.15


def _grid_step(size: int):
    def step(task, state, action):
        twin = GridTwin(task, size)
        twin.place = state
        place, reward = twin.step(action)
        return place, place, reward

    return step


@pytest.mark.parametrize(("size", "horizon", "episodes"), [(3, 4, 1), (3, 4, 2), (3, 6, 2), (4, 5, 1)])
def test_grid_belief_programming_against_brute_force(size: int, horizon: int, episodes: int) -> None:
    family = make_family("grid-navigation-v0", size=size, horizon=horizon, episodes=episodes)
    goals = [cell for cell in itertools.product(range(size), range(size)) if max(cell) > 1]
    expected = bayes_value(dict.fromkeys(goals, (0, 0)), _grid_step(size), 5, horizon, episodes)
    assert solve_beliefs(family) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(("size", "horizon"), [(3, 6), (4, 9)])
def test_grid_plan_is_what_belief_programming_finds(size: int, horizon: int) -> None:
    family = make_family("grid-navigation-v0", size=size, horizon=horizon)
    first, later = bound_per_episode(family)
    assert solve_beliefs(family) == pytest.approx(first + 3 * later, abs=1e-4)
    assert len(search_plan(family)) == 4


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_grid_optimum_by_dynamic_programming_over_all_beliefs() -> None:
    """37.214 of the specification over 2^21 subsets: about 20 CPU-seconds, 0.6 GB."""
    family = make_family("grid-navigation-v0")
    assert solve_beliefs(family) == pytest.approx(4.0 + 3 * (16.1 - 1.1 * 96 / 21), abs=1e-3)


# Rooms


def test_rooms_plateaus_are_those_of_the_hand_computation() -> None:
    # Goal 1's corners are entered at steps 2, 4, 6 and 8, so it is met at step 5 on average: 46 steps pay 1, four -0.1.
    # The outer room's first corner is 6 steps further, the others 2 more each: goal 2 is met 9 steps later on average
    # and pays in 37 steps; of the 13 steps before, the one that met goal 1 paid 1.
    one, two = (solve_rooms(make_family("room-navigation-v0"), last_goal=goal).value for goal in (1, 2))
    assert one == pytest.approx(46 - 0.4)
    assert two == pytest.approx(37 * 10 + 1 - 12 * 0.1)


@pytest.mark.parametrize("last_goal", [1, 2, 3])
def test_rooms_policy_earns_its_value_over_all_tasks(last_goal: int) -> None:
    env = make_environment("room-navigation-v0", 48)
    env.set_task(torch.arange(48))
    policy = "bayes-optimal" if last_goal == 3 else f"stop-at-goal-{last_goal}"
    value = solve_rooms(env.family, last_goal=last_goal).value
    assert float(run_trial(make_policy("room-navigation-v0", policy), env).mean()) == pytest.approx(value, abs=1e-4)


def _rooms_step(task, state, action):
    twin = RoomsTwin(task)
    twin.place, twin.first, twin.second = state
    place, reward = twin.step(action)
    return (place, twin.first, twin.second), place, reward


@pytest.mark.parametrize("horizon", [5, 12, 16])
def test_rooms_belief_programming_against_brute_force(horizon: int) -> None:
    starts = dict.fromkeys(goals_of_tasks(), ((7, 1), False, False))
    value = solve_rooms(make_family("room-navigation-v0", horizon=horizon)).value
    assert value == pytest.approx(bayes_value(starts, _rooms_step, 5, horizon), abs=1e-9)


def test_random_returns_are_those_of_random_walks() -> None:
    for name in ("grid-navigation-v0", "room-navigation-v0"):
        env = make_environment(name, 20_000)
        returns = run_trial(make_policy(name, "random"), env).mean(0)
        error = float(returns.std()) / math.sqrt(len(returns))
        exact = estimate_return(name, "random").mean[0]
        assert float(returns.mean()) == pytest.approx(exact, abs=4 * error)


# Points


def test_treasure_hunt_policies() -> None:
    # Specification: goal known 851, climb then go 737, walk the circle 555.
    assert _estimate("treasure-hunt-v0", "goal-known", 2000)[0][0] == pytest.approx(851, abs=1)
    assert _estimate("treasure-hunt-v0", "climb-to-the-middle", 2000)[0][0] == pytest.approx(737, abs=1)
    assert _estimate("treasure-hunt-v0", "circle-walk", 2000)[0][0] == pytest.approx(555, abs=1)
    assert _estimate("treasure-hunt-v0", "climb-then-go", 2000)[0][0] > 750


def test_sparse_point_policies() -> None:
    # Specification: goal known 93.4 an episode, fixed arc sweep 76.6.
    assert _estimate("sparse-point-v0", "goal-known", 2000)[0] == pytest.approx([93.4] * 3, abs=0.1)
    assert _estimate("sparse-point-v0", "arc-sweep", 2000)[0] == pytest.approx([76.6, 93.4, 93.4], abs=0.1)


# Bandits


def test_bandit_optimum() -> None:
    assert optimal_value(1, 5) == pytest.approx(0.5)
    # Two pulls: after a win the same arm again (2/3), after a loss the other one (1/2).
    assert optimal_value(2, 2) == pytest.approx(0.5 + 0.5 * 2 / 3 + 0.5 * 0.5)
    assert optimal_value(10, 1) == pytest.approx(5.0)
    # Specification.
    assert optimal_value(10, 5) == pytest.approx(6.660, abs=5e-4)
    assert optimal_value(10, 10) == pytest.approx(6.714, abs=5e-4)
    with pytest.raises(ArgumentError, match="1 to 16 pulls"):
        optimal_value(100, 5)


def test_finite_horizon_index() -> None:
    index = finite_horizon_index(12)
    # With one pull left it is the posterior mean; with two, by hand at (0, 0): 1/2 - c + 1/2 (2/3 - c) = 0.
    assert index[1, 3, 2] == pytest.approx(4 / 7, abs=1e-5)
    assert index[2, 0, 0] == pytest.approx(5 / 9, abs=1e-4)
    # At (1, 0), p = 2/3 then 3/4: 2/3 - c + 2/3 (3/4 - c) = 0.
    assert index[2, 1, 0] == pytest.approx((2 / 3 + 1 / 2) / (5 / 3), abs=1e-4)
    grown = np.diff(index[1:, 0, 0])
    assert (grown > 0).all()  # more pulls left, more worth exploring
    assert np.isnan(index[12, 1, 0])


def test_finite_horizon_index_against_stopping_times() -> None:
    """The index of (0, 0) with 3 pulls left is the best rate over all stopping rules, here by enumeration."""
    rules, best = list(itertools.product([False, True], repeat=6)), 0.0
    for rule in rules:  # go on after W, L, and after WW, WL, LW, LL
        go = dict(zip(["W", "L", "WW", "WL", "LW", "LL"], rule, strict=True))
        reward = pulls = 0.0

        def walk(path: str, chance: float, go: dict[str, bool] = go) -> None:
            nonlocal reward, pulls
            if len(path) == 3 or (path and not go[path]):
                return
            p = (path.count("W") + 1) / (len(path) + 2)
            reward, pulls = reward + chance * p, pulls + chance
            walk(path + "W", chance * p)
            walk(path + "L", chance * (1 - p))

        walk("", 1.0)
        best = max(best, reward / pulls)
    assert finite_horizon_index(12)[3, 0, 0] == pytest.approx(best, abs=1e-4)


@pytest.mark.parametrize(("arms", "value"), [(5, 6.660), (10, 6.714)])
def test_index_policy_is_near_the_optimum_at_ten_pulls(arms: int, value: float) -> None:
    mean, error = _estimate(f"bandit-v0:pulls=10,arms={arms}", "gittins")
    assert value - 0.02 - 4 * error < mean[0] < value + 4 * error


@pytest.mark.parametrize(
    ("name", "policy", "published"),
    [
        # Specification, index policy; its own noise is about .1.
        ("bandit-v0:pulls=100,arms=5", "gittins", 78.48),
        ("bandit-v0:pulls=100,arms=10", "gittins", 83.75),
        # Duan et al. (2016), table 1, over 1000 problems (a standard error of .5 at 100 pulls).
        ("bandit-v0:pulls=100,arms=5", "thompson-sampling", 74.7),
        ("bandit-v0:pulls=100,arms=10", "thompson-sampling", 76.7),
        ("bandit-v0:pulls=100,arms=5", "ucb1-tuned", 78.0),
        ("tabular-mdp-v0:episodes=25", "psrl", 408.8),
    ],
)
def test_long_trials_reach_the_published_returns(name: str, policy: str, published: float) -> None:
    mean, error = _estimate(name, policy, 1_000 if policy == "psrl" else 4_000)
    own = 0.11 if policy == "gittins" else error * (1 if policy == "psrl" else 2)  # theirs are 1000 problems
    assert sum(mean) == pytest.approx(published, abs=4 * math.hypot(error, own))


def test_ucb1_pulls_every_arm_once_first() -> None:
    env = make_environment("bandit-v0:pulls=10,arms=5", 8)
    policy = UCB1()
    obs = env.reset_tensor()
    policy.begin(env, torch.Generator())
    pulled = []
    for _ in range(5):
        action = policy.act(obs)
        policy.observe(obs, action, env.step_tensor(action))
        pulled.append(action)
    assert torch.stack(pulled).sort(0).values[:, 0].tolist() == [0, 1, 2, 3, 4]


# MDPs


def test_plan_against_brute_force_over_policies() -> None:
    generator = torch.Generator().manual_seed(0)
    transitions = torch.rand(1, 2, 2, 2, generator=generator)
    transitions = transitions / transitions.sum(-1, keepdim=True)
    rewards = torch.randn(1, 2, 2, generator=generator)
    best = torch.full((2,), -torch.inf)
    for choice in itertools.product(range(2), repeat=6):  # an action for each of 3 steps and 2 states
        value = torch.zeros(2)
        for step in (2, 1, 0):
            action = torch.tensor(choice[2 * step : 2 * step + 2])
            rows = torch.arange(2)
            value = rewards[0, rows, action] + transitions[0, rows, action] @ value
        best = torch.maximum(best, value)
    actions, value = plan(transitions, rewards, 3)
    torch.testing.assert_close(value[0], best)
    assert actions.shape == (3, 1, 2)


def test_tabular_ceiling_is_the_specified_one() -> None:
    mean, error = _estimate("tabular-mdp-v0", "model-known", 5_000)
    assert sum(mean) / 10 == pytest.approx(21.83, abs=4 * error / 10)
    env = make_environment("tabular-mdp-v0", 10_000)  # and the planner's own value, without the noise of rewards
    env.reset_tensor(seed=2)
    _, value = plan(env.tasks[..., :10], env.tasks[..., 10], 10)
    assert float(value[:, 0].mean()) == pytest.approx(21.83, abs=4 * float(value[:, 0].std()) / 100)


def test_psrl_draws_mean_rewards_from_the_posterior() -> None:
    # Three rewards that sum to 7, with the prior N(1, 1): precision 4, mean (1 + 7) / 4.
    generator = torch.Generator().manual_seed(0)
    draws = draw_mean_rewards(torch.full((40_000,), 3.0), torch.full((40_000,), 7.0), generator)
    assert float(draws.mean()) == pytest.approx(2.0, abs=5 * 0.5 / 200)
    assert float(draws.std()) == pytest.approx(0.5, abs=5 * 0.5 / (2 * 40_000) ** 0.5)


def test_psrl_counts_what_it_saw() -> None:
    env = make_environment("tabular-mdp-v0:episodes=40", 50)
    policy = make_policy("tabular-mdp-v0", "psrl")
    returns = run_trial(policy, env)
    assert float((policy._counts.sum() - 50 * 500) / (50 * 400)) == pytest.approx(1.0)
    assert float(policy._visits.sum()) == 50 * 400
    assert float(policy._paid.sum()) == pytest.approx(float(returns.sum()), rel=1e-4)


@pytest.mark.parametrize(
    ("delay", "length", "noise"), [(0, 1, 0.0), (1, 1, 0.3), (1, 2, 0.2), (2, 2, 0.0), (0, 3, 0.5)]
)
@pytest.mark.parametrize("uniform", [False, True])
def test_playground_value_against_brute_force(delay: int, length: int, noise: float, uniform: bool) -> None:
    """Recursion over whole histories, with the reward paid when it arrives."""
    family = make_family(
        "mdp-playground-v0",
        states=3,
        delay=delay,
        sequence_length=length,
        transition_noise=noise,
        reward_density=0.4,
        horizon=4,
    )
    tasks = family.sample_tasks(2, torch.Generator().manual_seed(3))
    moves, flags, _ = family.split_task(tasks)
    _, found = solve_playground(family, tasks, uniform=uniform)
    for task in range(2):
        next_state, flag = moves[task].view(3, 3).tolist(), flags[task].tolist()
        rewarded = {
            sequence for sequence, on in zip(itertools.product(range(3), repeat=length), flag, strict=True) if on
        }

        def value(path: tuple[int, ...], next_state=next_state, rewarded=rewarded) -> float:
            if len(path) == 5:
                return 0.0
            values = []
            for action in range(3):
                intended = next_state[path[-1]][action]
                total = 0.0
                for state in range(3):
                    chance = 1 - noise if state == intended else noise / 2
                    longer = (*path, state)
                    end = len(longer) - delay
                    paid = end >= 2 and longer[max(0, end - length) : end] in rewarded
                    total += chance * (paid + value(longer)) if chance else 0.0
                values.append(total)
            return sum(values) / 3 if uniform else max(values)

        assert float(found[task]) == pytest.approx(sum(value((state,)) for state in range(3)) / 3)


def test_playground_policy_earns_its_value() -> None:
    name = "mdp-playground-v0:delay=2,sequence_length=2,transition_noise=0.2,irrelevant_features=1"
    env = make_environment(name, 600)
    env.set_task(env.sample_tasks(20, 0).repeat(30, 1))
    returns = run_trial(make_policy(name, "model-known"), env).mean(0)
    _, value = solve_playground(env.family, env.tasks)
    error = float((returns - value).std()) / math.sqrt(len(returns))
    assert float(returns.mean()) == pytest.approx(float(value.mean()), abs=4 * error)


# The definitions


@pytest.mark.parametrize("name", environment_identifiers())
def test_recorded_returns_come_out_again(name: str) -> None:
    reference = load_environment(name).reference
    assert reference is not None
    assert reference.command.startswith(f"python -m metabench.envs.references {name} ")
    assert tuple(reference.returns) == policies_of(name)
    for policy, recorded in reference.returns.items():
        result = estimate_return(name, policy, problems=1_000, seed=7)
        recorded_error = reference.standard_errors.get(policy, 0.0)
        if result.standard_error == 0.0:
            per_episode = recorded if isinstance(recorded, tuple) else (recorded,)
            assert result.mean == pytest.approx(per_episode, rel=1e-3, abs=6e-5)
        else:
            error = math.hypot(result.standard_error, recorded_error)
            assert sum(result.mean) == pytest.approx(reference.total(policy), abs=4.5 * error)


def test_scores_are_zero_for_random_and_one_for_the_unit() -> None:
    reference = load_environment("grid-navigation-v0").reference
    assert reference is not None
    assert reference.score(reference.total("random")) == 0.0
    assert reference.score(37.2143) == pytest.approx(1.0, abs=1e-4)
    assert load_environment("bandit-v0:pulls=100").reference.unit == "gittins"
    assert load_environment("bandit-v0:pulls=37").reference is None


def test_unknown_policy_is_answered_with_the_nearest() -> None:
    with pytest.raises(UnknownNameError, match="Did you mean 'thompson-sampling'"):
        make_policy("bandit-v0", "thomson-sampling")
