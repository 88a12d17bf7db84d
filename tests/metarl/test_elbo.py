"""The bound against a plain loop over times, steps and trajectories; the KL against torch.distributions."""

from __future__ import annotations

import dataclasses
import math
from typing import Literal

import pytest
import torch
from torch.distributions import Independent, Normal, kl_divergence

from metabench.metarl.decoder import BernoulliHeads, RewardRegression, StateRegression, make_reward_decoder
from metabench.metarl.elbo import elbo_loss, kl_chain, kl_normal
from metabench.metarl.encoder import Belief, Encoder
from metabench.metarl.problem import Problem, Trajectories
from metabench.metarl.settings import Settings


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def test_kl_is_the_closed_form() -> None:
    # By hand, one latent: q = N(1, 4), p = N(0, 1): (ln 1 - ln 4 + (4 + 1) / 1 - 1) / 2 = 2 - ln 2.
    q = Belief(torch.tensor([1.0]), torch.tensor([4.0]).log())
    p = Belief(torch.zeros(1), torch.zeros(1))
    assert kl_normal(q, p).item() == pytest.approx(2 - math.log(2), rel=1e-6)
    means, logs = torch.randn(2, 6, 5, generator=generator()), torch.randn(2, 6, 5, generator=generator(1))
    ours = kl_normal(Belief(means[0], logs[0]), Belief(means[1], logs[1]))
    theirs = [Independent(Normal(mean, (0.5 * log).exp()), 1) for mean, log in zip(means, logs, strict=True)]
    torch.testing.assert_close(ours, kl_divergence(*theirs))


def test_chain_goes_to_the_belief_before_and_first_to_the_standard_normal_with_gradients_into_both() -> None:
    means = torch.randn(3, 2, 4, generator=generator()).requires_grad_()
    logs = torch.randn(3, 2, 4, generator=generator(1)).requires_grad_()
    chain = kl_chain(Belief(means, logs))
    standard = Belief(torch.zeros(2, 4), torch.zeros(2, 4))
    torch.testing.assert_close(chain[0], kl_normal(Belief(means[0], logs[0]), standard))
    torch.testing.assert_close(chain[2], kl_normal(Belief(means[2], logs[2]), Belief(means[1], logs[1])))
    chain[2].sum().backward()
    assert means.grad is not None
    assert means.grad[0].abs().sum() == 0
    assert bool((means.grad[1] != 0).all())
    torch.testing.assert_close(means.grad[1], -means.grad[2])


def _plain_loop(encoder, decoders, data, actions, kl_weight, noise, decode):
    """The bound from its definition, one number at a time; the encoder is stepped, not unrolled."""
    steps, batch = data.reward.shape
    total = 0.0
    for i in range(batch):
        memory = encoder.empty(1)
        beliefs = [encoder.belief(memory)]
        for t in range(steps):
            encoded = actions.encode(data.action[t, i : i + 1])
            memory = encoder.step(memory, encoded, data.next_obs[t, i : i + 1], data.reward[t, i : i + 1])
            beliefs.append(encoder.belief(memory))
        previous = standard = Normal(torch.zeros_like(beliefs[0].mean), torch.ones_like(beliefs[0].mean))
        for t, belief in enumerate(beliefs):
            now = Normal(belief.mean, (0.5 * belief.log_variance).exp())
            total += kl_weight * kl_divergence(now, standard if decode == "past" else previous).sum().item()
            previous = now
            latent = belief.mean + (0.5 * belief.log_variance).exp() * noise[t, i]
            for s in range(t if decode == "past" else steps):
                one = Trajectories(*(part[s : s + 1, i : i + 1] for part in data))
                total += sum(decoder.of_steps(latent[None], one).item() for decoder in decoders)
    return total / batch


@pytest.mark.parametrize("kind", ["cell", "action", "regression", "cell-value"])
@pytest.mark.parametrize("states", [False, True])
@pytest.mark.parametrize("decode", ["trial", "past"])
@pytest.mark.parametrize("layers", [(), (8,)])
def test_the_loss_is_that_of_a_plain_loop(
    kind: str,
    states: bool,
    decode: Literal["trial", "past"],
    layers: tuple[int, ...],
    problem: Problem,
    small: Settings,
    trajectories: Trajectories,
) -> None:
    parts = ("state", "action", "next_state")
    settings = small.changed({"reward_decoder": kind, "reward_depends_on": parts, "decoder_layers": layers})
    encoder = Encoder(2, 5, settings, generator())
    reward = make_reward_decoder(problem, settings, generator(1))
    state = StateRegression(problem, settings, generator(2)) if states else None
    loss = elbo_loss(
        encoder, reward, state, trajectories, problem.actions, kl_weight=0.3, generator=generator(5), decode=decode
    ).loss
    noise = torch.empty(8, 4, settings.latent).normal_(generator=generator(5))
    decoders = [reward, *([state] if state else [])]
    expected = _plain_loop(encoder, decoders, trajectories, problem.actions, 0.3, noise, decode)
    assert loss.item() == pytest.approx(expected, rel=1e-5)


def test_heads_are_a_bernoulli_likelihood_of_the_cell_reached(
    problem: Problem, small: Settings, trajectories: Trajectories
) -> None:
    decoder = BernoulliHeads("cell", problem, small, generator())
    latent = torch.randn(7, 4, 3, generator=generator(1))
    losses, chance = decoder.of_steps(latent, trajectories), decoder.probabilities(latent)
    x, y = trajectories.next_obs[2, 1].int().tolist()
    p = chance[2, 1, 5 * y + x].item()  # cells are numbered row by row
    expected = -math.log(p if trajectories.reward[2, 1] > 0 else 1 - p)
    assert losses[2, 1].item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("decode", ["trial", "past"])
def test_subsampling_is_unbiased(
    decode: Literal["trial", "past"], problem: Problem, small: Settings, trajectories: Trajectories
) -> None:
    encoder, decoder = Encoder(2, 5, small, generator()), RewardRegression(problem, small, generator(1))
    with torch.no_grad():  # without noise in the latent, only the choice of terms is left
        encoder.to_log_variance.weight.zero_()
        encoder.to_log_variance.bias.fill_(-60.0)

    def loss(seed: int, terms: int | None = None, decoded: int | None = None) -> float:
        parts = elbo_loss(
            encoder,
            decoder,
            None,
            trajectories,
            problem.actions,
            kl_weight=0.0,
            generator=generator(seed),
            decode=decode,
            terms=terms,
            decoded=decoded,
        )
        return parts.reward.item()

    draws = torch.tensor([loss(seed, terms=3, decoded=4) for seed in range(600)])
    error = draws.std() / len(draws) ** 0.5
    assert abs(draws.mean() - loss(0)) < 4 * error
    assert draws.std() > 0


def test_the_prior_is_the_heads_at_memory_zero(problem: Problem, small: Settings, trajectories: Trajectories) -> None:
    encoder = Encoder(2, 5, small, generator())
    beliefs = encoder.unroll(problem.actions.encode(trajectories.action), trajectories.next_obs, trajectories.reward)
    torch.testing.assert_close(beliefs.mean[0], encoder.to_mean.bias.expand(4, 3))
    torch.testing.assert_close(beliefs.log_variance[0], encoder.to_log_variance.bias.expand(4, 3))


def test_no_belief_sees_the_future(problem: Problem, small: Settings, trajectories: Trajectories) -> None:
    encoder = Encoder(2, 5, small, generator())
    encoded = problem.actions.encode(trajectories.action)
    before = encoder.unroll(encoded, trajectories.next_obs, trajectories.reward)
    changed = trajectories.reward.clone()
    changed[4:] += 1.0
    after = encoder.unroll(encoded, trajectories.next_obs, changed)
    assert torch.equal(before.mean[:5], after.mean[:5])
    assert not torch.equal(before.mean[5], after.mean[5])


def test_settings_are_all_used_by_the_decoder(problem: Problem, small: Settings) -> None:
    parts = ("state", "action", "next_state")
    decoder = RewardRegression(problem, dataclasses.replace(small, reward_depends_on=parts), generator())
    assert decoder.network.of_inputs.in_features == 2 + 5 + 2


@pytest.mark.parametrize("kind", ["action", "regression"])
def test_a_decoder_without_layers_is_affine_in_the_latent(kind: str, problem: Problem, small: Settings) -> None:
    settings = small.changed({"reward_decoder": kind, "decoder_layers": ()})
    network = make_reward_decoder(problem, settings, generator()).network
    known = () if kind == "action" else (torch.ones(2),)
    a, b = torch.randn(2, settings.latent, generator=generator(3))
    assert torch.allclose(network((a + b) / 2, *known), (network(a, *known) + network(b, *known)) / 2, atol=1e-6)
