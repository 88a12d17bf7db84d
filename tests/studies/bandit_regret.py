"""When a trained agent on a bandit loses what to the index policy: python tests/studies/bandit_regret.py RUN.

RUN is a folder of ``metabench explore AGENT --env bandit-v0:...``. A pull's regret is the best arm's chance less that
of the arm pulled, here the mean over 4,000 tasks that the run evaluates on, summed over each tenth of the trial. The
agent plays them twice, with its likeliest actions, as it is evaluated, and with drawn ones, as it was trained.

An agent that sees a belief plays them a third time, with a new policy of the same shape that imitates the index policy
on these beliefs (20 s). If that one is good, neither beliefs nor network are what limits the agent.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from metabench.envs import TrialVectorEnv
from metabench.envs.bandit import Bandit
from metabench.envs.references.gittins import GittinsIndex
from metabench.envs.references.policy import play_trial
from metabench.errors import ArgumentError
from metabench.metarl.environments import open_environment
from metabench.metarl.policy import ActorCritic
from metabench.metarl.rollout import collect
from metabench.metarl.run import Plan
from metabench.metarl.trained import load_trained, print_about_run
from metabench.metarl.varibad import VariBAD
from metabench.seeding import derive, torch_generator

TASKS, PARTS = 4000, 10
STEPS, BATCH, RATE = 3000, 1024, 2e-3  # of imitation


def index_actions(env: TrialVectorEnv, seed: int) -> Tensor:
    """What the finite-horizon index pulls, ``(steps, copies)``."""
    return torch.stack([played.action for played in play_trial(GittinsIndex(), env, seed=seed)])


def regret(chances: Tensor, actions: Tensor) -> Tensor:
    """Of each of the pulls ``(steps, tasks)``, mean over tasks, for arms of these chances ``(tasks, arms)``."""
    return (chances.max(1).values - chances.gather(1, actions.T).T).mean(1)


def arms_tried(actions: Tensor, arms: int) -> float:
    """How many arms are pulled at all, mean over tasks."""
    return float(torch.nn.functional.one_hot(actions, arms).amax(0).sum(1).float().mean())


def imitate(agent: VariBAD, plan: Plan, copies: int, seed: int) -> None:
    """Gives variBAD a new policy, fitted to what the index does on training tasks, seen with the agent's beliefs."""
    env = open_environment(plan.env, copies, plan.settings.train_split)
    assert isinstance(env, TrialVectorEnv)
    carry, seen, wanted = agent.begin(env.num_envs), [], []
    with torch.no_grad():
        for played in play_trial(GittinsIndex(), env, seed=derive("metarl", "imitation", seed)):
            seen.append(agent.seen(played.obs, carry.context))
            wanted.append(played.action)
            carry = agent.observe(carry, played.action, played.transition)
    inputs, actions = torch.cat(seen), torch.cat(wanted)
    generator = torch_generator("imitation", seed)
    agent.policy = ActorCritic(inputs.shape[1], agent.problem.actions, agent.settings, generator)
    optimizer = torch.optim.Adam(agent.policy.parameters(), lr=RATE, fused=True)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, 1.0, 0.0, STEPS)
    for _ in range(STEPS):
        batch = torch.randint(len(inputs), (BATCH,), generator=generator)
        loss = torch.nn.functional.cross_entropy(agent.policy(inputs[batch])[0], actions[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()


def compare(folder: Path, seed: int, tasks: int = TASKS) -> list[str]:
    """A line for each way to play."""
    trained = load_trained(folder, seed, copies=tasks)
    env, agent = trained.env, trained.acting
    if not isinstance(env, TrialVectorEnv) or not isinstance(env.family, Bandit):
        raise ArgumentError(f"{folder}: expected a bandit, not {trained.plan.env}.")
    start = derive("metarl", "regret")
    env.reset_tensor(seed=start)
    chances = env.tasks.clone()
    ways = {
        "likeliest": collect(env, agent, seed=start, deterministic=True).trajectories.action,
        "drawn": collect(env, agent, seed=start).trajectories.action,
        "index": index_actions(env, start),
    }
    if isinstance(agent, VariBAD):
        imitate(agent, trained.plan, tasks, seed)
        ways["imitating"] = collect(env, agent, seed=start, deterministic=True).trajectories.action
    parts = min(PARTS, env.steps)
    heads = "".join(f"{f'to {env.steps * (i + 1) // parts}':>7}" for i in range(parts))
    lines = [f"{'regret':<10}{heads}    all   arms tried"]
    for name, actions in ways.items():
        lost = regret(chances, actions)
        cells = "".join(f"{part.sum():7.2f}" for part in lost.tensor_split(parts))
        lines.append(f"{name:<10}{cells}  {lost.sum():5.2f}   {arms_tried(actions, chances.shape[1]):10.2f}")
    return lines


def main(words: Sequence[str] | None = None) -> int:
    """Prints the comparison for one seed's checkpoint."""
    return print_about_run("bandit_regret", __doc__ or "", compare, words)


if __name__ == "__main__":
    sys.exit(main())
