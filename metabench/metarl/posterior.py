"""How near a belief on a bandit is to the exact posterior, which is known there.

The arms' chances are independent and uniform, so that after s successes and f failures an arm's posterior is
Beta(1 + s, 1 + f). The belief's own is what the decoder makes of draws from it.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.metarl.decoder import BernoulliHeads
from metabench.metarl.elbo import kl_normal
from metabench.metarl.encoder import Belief
from metabench.metarl.problem import Trajectories
from metabench.metarl.varibad import VariBAD

__all__ = [
    "Nearness",
    "PosteriorMoments",
    "decoded_posterior",
    "exact_bound",
    "exact_posterior",
    "latents_in_use",
    "nearness",
]

_DRAWS = 256
_IN_USE = 0.05  # nats


class PosteriorMoments(NamedTuple):
    """Mean and standard deviation of each arm's chance, each ``(..., arms)``."""

    mean: Tensor
    deviation: Tensor


class Nearness(NamedTuple):
    """A belief beside the exact posterior, over all arms of a batch of trials.

    Attributes:
        deviation: the exact posterior's standard deviation, mean over arms.
        decoded: the same of the belief's.
        correlation: of the logarithms of the two.
        error: of the belief's mean, root mean square.
    """

    deviation: float
    decoded: float
    correlation: float
    error: float


def exact_posterior(action: Tensor, reward: Tensor, arms: int) -> PosteriorMoments:
    """Of Beta(1 + s, 1 + f) after each of the pulls ``(steps, batch)``: ``(steps, batch, arms)``."""
    wins, losses = _counts(action, reward, arms)
    pulls = wins + losses
    mean = (1 + wins) / (2 + pulls)
    return PosteriorMoments(mean, (mean * (1 - mean) / (3 + pulls)).sqrt())


def exact_bound(action: Tensor, reward: Tensor, arms: int) -> Tensor:
    """What ``decode=past`` with ``kl_weight=1`` cannot fall below, in nats: ``(batch,)``.

    The sum over all t of -ln of the probability of the first t rewards given the arms pulled, which is
    B(1 + s, 1 + f) for each arm.
    """
    wins, losses = _counts(action, reward, arms)
    log_beta = torch.lgamma(1 + wins) + torch.lgamma(1 + losses) - torch.lgamma(2 + wins + losses)
    return -log_beta.sum((0, 2))


def decoded_posterior(decoder: BernoulliHeads, context: Tensor) -> PosteriorMoments:
    """Of the chances that draws from the beliefs ``(batch, 2 latent)`` decode to."""
    belief, generator = Belief(*context.chunk(2, -1)), torch.Generator().manual_seed(0)
    chances = torch.stack([decoder.probabilities(belief.draw(generator)) for _ in range(_DRAWS)]).double()
    return PosteriorMoments(chances.mean(0), chances.std(0))


def latents_in_use(context: Tensor) -> int:
    """Of the beliefs ``(batch, 2 latent)``: how many latents are more than .05 nats from N(0, 1), on average."""
    parts = [part[..., None] for part in context.chunk(2, -1)]  # each latent on its own
    nothing = torch.zeros_like(parts[0])
    return int((kl_normal(Belief(*parts), Belief(nothing, nothing)).mean(0) > _IN_USE).sum())


@torch.no_grad()
def nearness(agent: VariBAD, trajectories: Trajectories, contexts: Tensor, pulls: int) -> Nearness:
    """Compares the beliefs ``contexts[pulls]`` of an agent on a bandit with the posterior after so many pulls.

    Args:
        agent: whose decoder has a head for each arm.
        trajectories: whole trials, ``(steps, batch, ...)``.
        contexts: beliefs before each step and after the last, ``(steps + 1, batch, 2 latent)``.
        pulls: at least 1.

    Raises:
        ArgumentError: if the decoder has no Bernoulli head for each action.
    """
    decoder = agent.reward_decoder
    if not isinstance(decoder, BernoulliHeads) or decoder.by != "action":
        raise ArgumentError(
            f"reward_decoder is {agent.settings.reward_decoder}; expected action, a chance for each arm."
        )
    exact = exact_posterior(trajectories.action[:pulls], trajectories.reward[:pulls], decoder.heads)
    ours = decoded_posterior(decoder, contexts[pulls])
    both = torch.stack([exact.deviation[-1].log().flatten(), ours.deviation.log().flatten()])
    return Nearness(
        exact.deviation[-1].mean().item(),
        ours.deviation.mean().item(),
        torch.corrcoef(both)[0, 1].item(),
        (ours.mean - exact.mean[-1]).square().mean().sqrt().item(),
    )


def _counts(action: Tensor, reward: Tensor, arms: int) -> tuple[Tensor, Tensor]:
    """Successes and failures of each arm after each pull, ``(steps, batch, arms)`` each, float64."""
    pulled = torch.nn.functional.one_hot(action, arms).double()
    return (pulled * reward[..., None]).cumsum(0), (pulled * (1 - reward)[..., None]).cumsum(0)
