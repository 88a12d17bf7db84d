"""Whole trials of many copies at once: all tensors, no copy to NumPy."""

from __future__ import annotations

import torch
from torch import Tensor

from metabench.metarl.agent import Agent, Rollout
from metabench.metarl.environments import Environment
from metabench.metarl.problem import Trajectories

__all__ = ["collect", "episode_returns"]


@torch.no_grad()
def collect(env: Environment, agent: Agent, *, seed: int, deterministic: bool = False) -> Rollout:
    """Plays one trial in every copy.

    A rollout begins with a trial and ends with it, so all beliefs in it come from one set of encoder weights: what had
    to be re-encoded after each training step, if rollouts cut trials in pieces, never gets stale here.

    Args:
        env: copies of the environment, all in step.
        agent: acts; it is not changed but for its generator.
        seed: of tasks and dynamics.
        deterministic: take the likeliest actions instead of drawing.
    """
    obs = env.reset_tensor(seed=seed)
    carry = agent.begin(env.num_envs)
    generator = None if deterministic else agent.generator
    contexts, decisions, transitions, seen = [carry.context], [], [], []
    for _ in range(env.steps):
        decision, carry = agent.act(carry, obs, generator)
        transition = env.step_tensor(decision.action)
        carry = agent.observe(carry, decision.action, transition)
        contexts.append(carry.context)
        decisions.append(decision)
        transitions.append(transition)
        seen.append(obs)
        obs = transition.obs
    # What a transition led to is next_obs, the state before any reset: never the first one of the next episode or
    # trial.
    trajectories = Trajectories(
        torch.stack(seen),
        torch.stack([decision.action for decision in decisions]),
        torch.stack([transition.next_obs for transition in transitions]),
        torch.stack([transition.reward for transition in transitions]),
    )
    return Rollout(
        trajectories,
        torch.stack([decision.log_prob for decision in decisions]),
        torch.stack([decision.value for decision in decisions]),
        torch.stack(contexts),
    )


def episode_returns(rewards: Tensor, episodes: int) -> Tensor:
    """Sums rewards ``(steps, copies)`` over each episode: ``(episodes, copies)``."""
    return rewards.view(episodes, -1, rewards.shape[1]).sum(1)
