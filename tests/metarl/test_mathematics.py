"""Advantages, returns, moments, clipped objectives and statistics, by hand and against NumPy."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.distributions import Categorical as TorchCategorical
from torch.distributions import Independent
from torch.distributions import Normal as TorchNormal

from metabench.metarl.actions import Categorical, Normal
from metabench.metarl.gae import discounted_returns, generalized_advantages
from metabench.metarl.moments import ReturnScale, RunningMoments
from metabench.metarl.novelty import annealed
from metabench.metarl.ppo import clipped_objective, clipped_value_loss
from metabench.metarl.statistics import interquartile_mean, interquartile_mean_interval


def normal(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def test_advantages_by_hand_bootstrap_across_an_episode_end() -> None:
    # One trial of two episodes of two steps, discount 0.5, trace 0.5. Nothing marks the episodes: the second step's
    # error is 2 + 0.5 * 4 - 2 = 2, with the value of the second episode's first state in it.
    rewards, values = torch.tensor([[1.0], [2.0], [3.0], [4.0]]), torch.tensor([[1.0], [2.0], [4.0], [2.0]])
    # errors: 1 + .5*2 - 1 = 1;  2 + .5*4 - 2 = 2;  3 + .5*2 - 4 = 0;  4 - 2 = 2
    # backwards, factor .25: 2;  0 + .5 = .5;  2 + .125 = 2.125;  1 + .53125 = 1.53125
    expected = torch.tensor([[1.53125], [2.125], [0.5], [2.0]])
    torch.testing.assert_close(generalized_advantages(rewards, values, discount=0.5, trace=0.5), expected)
    further = generalized_advantages(rewards, values, discount=0.5, trace=0.5, last_value=torch.tensor([8.0]))
    assert further[3].item() == 6.0


def test_trace_one_is_the_return_minus_the_value() -> None:
    rewards, values = normal(6, 3), normal(6, 3, seed=1)
    advantages = generalized_advantages(rewards, values, discount=0.9, trace=1.0)
    for t in range(6):
        to_come = sum(0.9 ** (k - t) * rewards[k] for k in range(t, 6))
        torch.testing.assert_close(advantages[t], to_come - values[t])


def test_a_trials_last_step_counts_and_the_next_trial_starts_afresh() -> None:
    rewards = torch.tensor([[1.0], [2.0], [4.0], [8.0]])
    ends = torch.tensor([False, True, False, True])
    found = discounted_returns(rewards, discount=0.5, ends=ends)[:, 0].tolist()
    assert found == [1.0, 2.5, 4.0, 10.0]


def test_return_scale_of_two_trials_in_a_row_is_that_of_two_trials_apart() -> None:
    first, second = normal(5, 3), normal(5, 3, seed=1) * 7
    ends = torch.tensor([False] * 4 + [True]).repeat(2)
    together = ReturnScale(0.9)
    divided = together(torch.cat([first, second]), ends)
    apart = ReturnScale(0.9)
    apart(torch.cat([first, second], 1))
    assert together.scale == pytest.approx(apart.scale, rel=1e-9)
    returns = np.concatenate(
        [[sum(0.9 ** (t - k) * r[k] for k in range(t + 1)) for t in range(5)] for r in (first.numpy(), second.numpy())]
    )
    assert together.scale == pytest.approx(returns.std(), rel=1e-6)
    torch.testing.assert_close(divided, torch.cat([first, second]) / together.scale)


def test_running_moments_are_numpys_and_survive_a_checkpoint() -> None:
    moments, seen = RunningMoments(3), []
    rng = np.random.default_rng(0)
    for size in (1, 7, 400):
        batch = rng.normal([100.0, -5.0, 0.0], [2.0, 0.1, 3.0], size=(size, 3)).astype(np.float32)
        seen.append(batch)
        moments.update(torch.from_numpy(batch))
    every = np.concatenate(seen).astype(np.float64)
    np.testing.assert_allclose(moments.mean.numpy(), every.mean(0), rtol=1e-12)
    np.testing.assert_allclose(moments.variance.numpy(), every.var(0), rtol=1e-9)
    value = torch.tensor([[101.0, -5.05, 1.0]])
    expected = (value.double().numpy() - every.mean(0)) / every.std(0)
    np.testing.assert_allclose(moments(value).numpy(), expected, rtol=1e-4)
    again = RunningMoments(3)
    again.load_state_dict(moments.state_dict())
    assert torch.equal(again(value), moments(value))


def test_moments_before_anything_was_seen_change_nothing_and_clip() -> None:
    torch.testing.assert_close(RunningMoments(2)(torch.tensor([0.5, -70.0])), torch.tensor([0.5, -10.0]))


def test_clipped_objective_by_hand() -> None:
    # Ratios 1.5 and 0.5 with clip 0.2. A = 1: min(1.5, 1.2), min(0.5, 0.8). A = -1: min(-1.5, -1.2), min(-0.5, -0.8).
    log_prob = torch.tensor([1.5, 0.5, 1.5, 0.5]).log()
    advantage = torch.tensor([1.0, 1.0, -1.0, -1.0])
    found = clipped_objective(log_prob, torch.zeros(4), advantage, 0.2)
    assert found.item() == pytest.approx((1.2 + 0.5 - 1.5 - 0.8) / 4)


def test_clipped_value_loss_by_hand() -> None:
    # Old value 0, new 1, return 2, clip 0.5: errors (1 - 2)^2 = 1 and (0.5 - 2)^2 = 2.25; half of the larger.
    found = clipped_value_loss(torch.tensor([1.0]), torch.tensor([0.0]), torch.tensor([2.0]), 0.5)
    assert found.item() == pytest.approx(1.125)


def test_categorical_is_torchs_and_draws_by_its_probabilities() -> None:
    kind, logits = Categorical(3), torch.tensor([0.0, 1.0, -2.0])
    peer, action = TorchCategorical(logits=logits), torch.tensor([0, 1, 2])
    torch.testing.assert_close(kind.log_prob(logits.expand(3, 3), None, action), peer.log_prob(action))
    torch.testing.assert_close(kind.entropy(logits, None), peer.entropy())
    draws = kind.draw(logits.expand(20_000, 3), None, torch.Generator().manual_seed(0))
    share = torch.bincount(draws, minlength=3) / 20_000
    assert bool(((share - peer.probs).abs() < 4 * (peer.probs * (1 - peer.probs) / 20_000).sqrt()).all())
    assert kind.mode(logits).item() == 1


def test_normal_is_torchs() -> None:
    kind, mean, scale = Normal(2), normal(6, 2), torch.tensor([0.3, -1.0])
    peer = Independent(TorchNormal(mean, scale.exp()), 1)
    action = kind.draw(mean, scale, torch.Generator().manual_seed(0))
    torch.testing.assert_close(kind.log_prob(mean, scale, action), peer.log_prob(action))
    torch.testing.assert_close(kind.entropy(mean, scale), peer.entropy())


def test_bonuses_are_annealed_to_zero() -> None:
    assert [annealed(frames, 200) for frames in (0, 50, 200, 300)] == [1.0, 0.75, 0.0, 0.0]


def test_interquartile_mean_and_interval() -> None:
    assert interquartile_mean(np.array([100.0, 1.0, 2.0, 3.0, -50.0, 2.0, 2.0, 4.0])) == 2.25  # of 2, 2, 2, 3
    assert interquartile_mean_interval([5.0]) == (5.0, 5.0, 5.0)
    found = interquartile_mean_interval([1.0, 2.0, 3.0])
    assert found.estimate == 2.0
    assert 1.0 <= found.lower < 2.0 < found.upper <= 3.0
    assert found == interquartile_mean_interval([1.0, 2.0, 3.0])
