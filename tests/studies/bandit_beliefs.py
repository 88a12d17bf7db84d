"""How near a trained agent's belief on a bandit is to the exact posterior: python tests/studies/bandit_beliefs.py RUN.

RUN is a folder of ``metabench explore varibad --env bandit-v0:...``. Belief and posterior are compared over all arms of
2,000 held-out tasks, along the agent's greedy trials. Last come the latents in use: those that a whole trial moves by
more than .05 nats from N(0, 1), mean over tasks. Where they are fewer than the arms, the belief has no room for all.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch

from metabench.envs import TrialVectorEnv
from metabench.envs.bandit import Bandit
from metabench.errors import ArgumentError
from metabench.metarl.posterior import latents_in_use, nearness
from metabench.metarl.rollout import collect
from metabench.metarl.trained import load_trained, print_about_run
from metabench.metarl.varibad import VariBAD
from metabench.seeding import derive


@torch.no_grad()
def compare(folder: Path, seed: int, copies: int = 2000) -> list[str]:
    """A line for each of some numbers of pulls."""
    trained = load_trained(folder, seed, copies=copies)
    env, agent = trained.env, trained.acting
    if not isinstance(env, TrialVectorEnv) or not isinstance(env.family, Bandit):
        raise ArgumentError(f"{folder}: expected a bandit, not {trained.plan.env}.")
    if not isinstance(agent, VariBAD):
        raise ArgumentError(f"{folder}: expected variBAD or HyperX on a bandit, not {trained.plan.agent}.")
    rollout = collect(env, agent, seed=derive("metarl", "beliefs"), deterministic=True)
    lines = ["pulls   sd: exact  decoded   correlation of ln sd   rmse of the mean"]
    steps = len(rollout.contexts) - 1
    for pulls in sorted({max(1, round(steps * share)) for share in (0.05, 0.1, 0.2, 0.5, 1.0)}):
        found = nearness(agent, rollout.trajectories, rollout.contexts, pulls)
        deviations = f"{found.deviation:9.3f}  {found.decoded:7.3f}"
        lines.append(f"{pulls:5d}   {deviations}   {found.correlation:20.2f}   {found.error:16.3f}")
    latents = trained.plan.settings.latent
    return [*lines, f"latents in use: {latents_in_use(rollout.contexts[-1])} of {latents}"]


def main(words: Sequence[str] | None = None) -> int:
    """Prints the comparison for one seed's checkpoint."""
    return print_about_run("bandit_beliefs", __doc__ or "", compare, words)


if __name__ == "__main__":
    sys.exit(main())
