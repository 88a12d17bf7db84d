"""The exact posterior of a bandit against scipy's, and beliefs that are known beside it."""

from __future__ import annotations

from itertools import product

import numpy as np
import pytest
import torch
from scipy.stats import beta

from metabench.errors import ArgumentError
from metabench.metarl.environments import open_environment
from metabench.metarl.posterior import exact_bound, exact_posterior, latents_in_use, nearness
from metabench.metarl.presets import preset
from metabench.metarl.problem import Trajectories, problem_of
from metabench.metarl.varibad import VariBAD


def test_the_exact_posterior_is_scipys() -> None:
    action = torch.tensor([[0, 1], [0, 1], [2, 1], [0, 0]])
    reward = torch.tensor([[1.0, 0.0], [0.0, 0.0], [1.0, 1.0], [1.0, 0.0]])
    found = exact_posterior(action, reward, 3)
    counts = {(0, 0): (2, 1), (0, 1): (0, 0), (0, 2): (1, 0), (1, 0): (0, 1), (1, 1): (1, 2), (1, 2): (0, 0)}
    for (task, arm), (wins, losses) in counts.items():
        known = beta(1 + wins, 1 + losses)
        assert found.mean[-1, task, arm].item() == pytest.approx(known.mean())
        assert found.deviation[-1, task, arm].item() == pytest.approx(known.std())


def test_a_latent_that_stays_at_its_prior_is_not_in_use() -> None:
    mean, log_variance = torch.tensor([[0.0, 1.0, 0.0], [0.1, -1.0, 0.0]]), torch.tensor([[0.0, 0.0, -2.0]] * 2)
    assert latents_in_use(torch.cat([mean, log_variance], 1)) == 2


def test_the_exact_bound_is_that_of_every_sequence() -> None:
    # Over all rewards of given pulls the probabilities sum to one; a sum over a grid of chances gives the same.
    action = torch.tensor([0, 1, 0])
    chance = (np.arange(4000) + 0.5) / 4000
    total = 0.0
    for rewards in product([0.0, 1.0], repeat=3):
        reward = torch.tensor(rewards)
        terms, likelihood = [], [np.ones_like(chance), np.ones_like(chance)]
        for arm, won in zip(action.tolist(), rewards, strict=True):
            likelihood[arm] = likelihood[arm] * (chance if won else 1 - chance)
            terms.append(-np.log(likelihood[0].mean() * likelihood[1].mean()))
        assert exact_bound(action[:, None], reward[:, None], 2).item() == pytest.approx(sum(terms), rel=1e-6)
        total += np.exp(-terms[-1])
    assert total == pytest.approx(1)


def test_a_belief_that_learnt_nothing_is_the_prior_it_decodes() -> None:
    env = open_environment("bandit-v0:pulls=4,arms=3", 500, "train")
    problem = problem_of(env)
    agent = VariBAD(problem, preset("varibad", "bandit-v0").changed({"decoder_layers": [], "latent": 3}), 0)
    with torch.no_grad():  # each chance is the logistic function of its own standard normal latent, times 1.7
        agent.reward_decoder.network[0].weight.copy_(1.7 * torch.eye(3))
        agent.reward_decoder.network[0].bias.zero_()
    action = torch.randint(3, (4, 500), generator=torch.Generator().manual_seed(0))
    trials = Trajectories(torch.zeros(4, 500, 1), action, torch.zeros(4, 500, 1), torch.ones(4, 500))
    found = nearness(agent, trials, torch.zeros(5, 500, 6), 1)
    assert found.decoded == pytest.approx(12**-0.5, abs=0.01)  # nearly uniform
    assert found.deviation == pytest.approx((2 * 12**-0.5 + 18**-0.5) / 3)
    assert found.error == pytest.approx(((2 / 3 - 1 / 2) ** 2 / 3) ** 0.5, abs=0.01)


def test_only_heads_for_each_action_can_be_compared() -> None:
    settings = preset("varibad", "bandit-v0").changed({"reward_decoder": "regression", "reward_depends_on": ["action"]})
    agent = VariBAD(problem_of(open_environment("bandit-v0", 4, "train")), settings, 0)
    trials = Trajectories(*(torch.zeros(10, 4, 1),) * 4)
    with pytest.raises(ArgumentError, match="reward_decoder is regression; expected action"):
        nearness(agent, trials, torch.zeros(11, 4, 20), 1)
