"""How near a trained agent's belief on a bandit is to the exact posterior: python tests/studies/bandit_beliefs.py RUN.

RUN is a folder of ``metabench explore varibad --env bandit-v0:...``. The arms' chances are independent and uniform, so
that after s successes and f failures an arm's posterior is Beta(1 + s, 1 + f). The belief's own is what the decoder
makes of draws from it. Both are compared over all arms of 2,000 held-out tasks, along the agent's greedy trials. Last
come the latents in use: those that a whole trial moves by more than .05 nats from N(0, 1), mean over tasks. Where they
are fewer than the arms, the belief has no room for all.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.metarl.decoder import BernoulliHeads
from metabench.metarl.elbo import kl_normal
from metabench.metarl.encoder import Belief
from metabench.metarl.hyperx import HyperX
from metabench.metarl.rollout import collect
from metabench.metarl.trained import load_trained, print_about_run
from metabench.metarl.varibad import VariBAD
from metabench.seeding import derive

DRAWS = 256
IN_USE = 0.05  # nats


class Moments(NamedTuple):
    """Mean and standard deviation of each arm's chance, each ``(..., arms)``."""

    mean: Tensor
    deviation: Tensor


def exact_posterior(action: Tensor, reward: Tensor, arms: int) -> Moments:
    """Of Beta(1 + s, 1 + f) after each of the pulls ``(steps, batch)``: ``(steps, batch, arms)``."""
    pulled = torch.nn.functional.one_hot(action, arms).double()
    pulls, wins = pulled.cumsum(0), (pulled * reward[..., None]).cumsum(0)
    mean = (1 + wins) / (2 + pulls)
    return Moments(mean, (mean * (1 - mean) / (3 + pulls)).sqrt())


def decoded_posterior(decoder: BernoulliHeads, context: Tensor, generator: torch.Generator) -> Moments:
    """Of the chances that draws from the beliefs ``(batch, 2 latent)`` decode to."""
    belief = Belief(*context.chunk(2, -1))
    chances = torch.stack([decoder.probabilities(belief.draw(generator)) for _ in range(DRAWS)]).double()
    return Moments(chances.mean(0), chances.std(0))


def latents_in_use(context: Tensor) -> int:
    """Of the beliefs ``(batch, 2 latent)``: how many latents are more than ``IN_USE`` nats from N(0, 1), on average."""
    parts = [part[..., None] for part in context.chunk(2, -1)]  # each latent on its own
    nothing = torch.zeros_like(parts[0])
    return int((kl_normal(Belief(*parts), Belief(nothing, nothing)).mean(0) > IN_USE).sum())


@torch.no_grad()
def compare(folder: Path, seed: int, copies: int = 2000) -> list[str]:
    """A line for each of some numbers of pulls."""
    trained = load_trained(folder, seed, copies=copies)
    agent = trained.agent.base if isinstance(trained.agent, HyperX) else trained.agent  # as HyperX acts
    if not isinstance(agent, VariBAD) or not isinstance(agent.reward_decoder, BernoulliHeads):
        raise ArgumentError(f"{folder}: expected variBAD or HyperX on a bandit, not {trained.plan.agent}.")
    if agent.reward_decoder.by != "action":
        raise ArgumentError(f"{folder}: expected a bandit, not {trained.plan.env}.")
    rollout = collect(trained.env, agent, seed=derive("metarl", "beliefs"), deterministic=True)
    exact = exact_posterior(rollout.trajectories.action, rollout.trajectories.reward, agent.reward_decoder.heads)
    generator = torch.Generator().manual_seed(0)
    lines = ["pulls   sd: exact  decoded   correlation of ln sd   rmse of the mean"]
    steps = len(exact.mean)
    for pulls in sorted({max(1, round(steps * share)) for share in (0.05, 0.1, 0.2, 0.5, 1.0)}):
        ours = decoded_posterior(agent.reward_decoder, rollout.contexts[pulls], generator)
        known = Moments(*(part[pulls - 1] for part in exact))
        both = torch.stack([known.deviation.log().flatten(), ours.deviation.log().flatten()])
        error = (ours.mean - known.mean).square().mean().sqrt()
        lines.append(
            f"{pulls:5d}   {known.deviation.mean():9.3f}  {ours.deviation.mean():7.3f}   "
            f"{torch.corrcoef(both)[0, 1]:20.2f}   {error:16.3f}"
        )
    latents = trained.plan.settings.latent
    return [*lines, f"latents in use: {latents_in_use(rollout.contexts[-1])} of {latents}"]


def main(words: Sequence[str] | None = None) -> int:
    """Prints the comparison for one seed's checkpoint."""
    return print_about_run("bandit_beliefs", __doc__ or "", compare, words)


if __name__ == "__main__":
    sys.exit(main())
