"""The evidence lower bound of whole trajectories, at every point in time."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor

from metabench.metarl.actions import ActionKind
from metabench.metarl.decoder import Decoder
from metabench.metarl.encoder import Belief, Encoder
from metabench.metarl.problem import Trajectories

__all__ = ["Elbo", "elbo_loss", "kl_chain", "kl_normal"]


class Elbo(NamedTuple):
    """Parts of the loss, each a mean over trajectories of a sum over time; ``loss`` is what is minimised."""

    loss: Tensor
    reward: Tensor
    state: Tensor
    kl: Tensor


def kl_normal(q: Belief, p: Belief) -> Tensor:
    """KL(q || p) in nats between diagonal normals, ``(...)``.

    Sum over latents of (log var_p - log var_q + (var_q + (mean_q - mean_p)^2) / var_p - 1) / 2.
    """
    gap = q.log_variance - p.log_variance
    terms = gap.exp() + (q.mean - p.mean).square() * (-p.log_variance).exp() - gap - 1
    return 0.5 * terms.sum(-1)


def kl_chain(beliefs: Belief) -> Tensor:
    """KL of each belief to the one before, of the first to N(0, I): ``(steps + 1, batch)``. Gradients go into both."""
    before = Belief(*(torch.cat([torch.zeros_like(part[:1]), part[:-1]]) for part in beliefs))
    return kl_normal(beliefs, before)


def elbo_loss(
    encoder: Encoder,
    reward_decoder: Decoder,
    state_decoder: Decoder | None,
    trajectories: Trajectories,
    actions: ActionKind,
    *,
    reward_weight: float = 1.0,
    kl_weight: float,
    generator: torch.Generator,
    decode: Literal["trial", "past"] = "trial",
    terms: int | None = None,
    decoded: int | None = None,
) -> Elbo:
    """Sums, over every time t from 0 to the trial's end, the negative bound of a trajectory given q_t.

    With ``trial``, variBAD's own, one sample of q_t decodes all steps, past and future, and KL_t is to q_{t-1}. It is
    a bound on what is to come, not on what was seen: only KL_t keeps the variance of q_t up, and a q_t as narrow as
    q_{t-1} costs nothing. With ``past`` the sample decodes the first t steps and KL_t is to N(0, I), the bound whose
    optimum, with a weight of one, is the posterior after t steps.

    Both sums can be subsampled without bias: ``terms`` of the times, drawn without replacement and weighted up, and
    ``decoded`` of the steps, the same ones for all times. The KL terms are cheap and never left out.

    Args:
        encoder: gives all q_t.
        reward_decoder: scores rewards.
        state_decoder: scores next states, if dynamics differ between tasks.
        trajectories: whole trials ``(steps, batch, ...)``.
        actions: how actions are encoded.
        reward_weight: of the reward's decoding error, beside the next state's.
        kl_weight: of the KL terms.
        generator: of the samples.
        decode: what q_t is fitted to.
        terms: times t with a reconstruction term; all if None.
        decoded: steps that are decoded; all if None.

    Reference:
        Zintgraf et al. (2020), VariBAD, arXiv:1910.08348, equations 6 to 9. Bayer et al. (2021), Mind the gap when
        conditioning amortised inference in sequential latent-variable models, arXiv:2101.07046, on beliefs that are
        asked to explain more than they see.
    """
    beliefs = encoder.unroll(actions.encode(trajectories.action), trajectories.next_obs, trajectories.reward)
    past = decode == "past"
    standard = Belief(*(torch.zeros_like(part) for part in beliefs))
    kl = (kl_normal(beliefs, standard) if past else kl_chain(beliefs)).sum(0).mean()
    steps = len(trajectories.reward)
    times, places, weight = torch.arange(steps + 1), torch.arange(steps), 1.0
    chosen = beliefs
    if terms is not None and terms < steps + 1:
        times = torch.randperm(steps + 1, generator=generator)[:terms]
        chosen, weight = Belief(*(part[times] for part in beliefs)), (steps + 1) / terms
    if decoded is not None and decoded < steps:
        places = torch.randperm(steps, generator=generator)[:decoded]
        trajectories, weight = Trajectories(*(part[places] for part in trajectories)), weight * steps / decoded
    counted = (places < times[:, None]).to(kl) if past else None
    latent = chosen.draw(generator)
    reward = weight * reward_decoder.of_trajectories(latent, trajectories, counted).sum(0).mean()
    state = torch.zeros_like(reward)
    if state_decoder is not None:
        state = weight * state_decoder.of_trajectories(latent, trajectories, counted).sum(0).mean()
    return Elbo(reward_weight * reward + state + kl_weight * kl, reward, state, kl)
