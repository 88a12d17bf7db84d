"""RL2: a recurrent policy that learns, in its memory, to learn; PPO through the recurrence."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from metabench.blocks.memory import make_memory_cell
from metabench.envs import Transition
from metabench.metarl.agent import Agent, Carry, Decision, Rollout
from metabench.metarl.gae import generalized_advantages
from metabench.metarl.moments import ReturnScale, RunningMoments
from metabench.metarl.networks import dense
from metabench.metarl.policy import ActorCritic
from metabench.metarl.ppo import Evaluation, Targets, ppo_update
from metabench.metarl.problem import Problem
from metabench.metarl.settings import Settings
from metabench.metarl.states import load_parts, state_of_parts
from metabench.seeding import torch_generator

__all__ = ["RL2", "RecurrentPolicy"]


class RecurrentPolicy(nn.Module):
    """(state, previous action, reward, done) -> ReLU features -> memory cell -> actor and critic.

    Args:
        problem: the environment's shape.
        settings: sizes, and the memory cell's name.
        generator: of the initial weights.
    """

    def __init__(self, problem: Problem, settings: Settings, generator: torch.Generator) -> None:
        super().__init__()
        features = settings.action_embedding + settings.state_embedding + settings.reward_embedding
        self.embed = dense(problem.observations + problem.actions.features + 2, features, generator)
        self.cell = make_memory_cell(settings.memory_cell, features, settings.memory_width, generator)
        self.actor_critic = ActorCritic(settings.memory_width, problem.actions, settings, generator)

    def empty(self, copies: int) -> Tensor:
        """The memory at a trial's start, ``(copies, width)``."""
        return self.embed.weight.new_zeros(copies, self.cell.width)

    def step(self, memory: Tensor, obs: Tensor, context: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """New memory, action outputs and values from one step's inputs ``(copies, ...)``."""
        memory = self.cell.step(memory, torch.relu(self.embed(torch.cat([obs, context], -1))))
        return memory, *self.actor_critic(memory)

    def unroll(self, obs: Tensor, context: Tensor) -> tuple[Tensor, Tensor]:
        """Action outputs and values of whole trials, from inputs ``(steps, copies, ...)``."""
        features = torch.relu(self.embed(torch.cat([obs, context], -1)))
        return self.actor_critic(self.cell.unroll(self.empty(obs.shape[1]), features))


class RL2(Agent):
    """PPO through a recurrent policy that sees the last action, its reward and whether the episode ended.

    Args:
        problem: the environment's shape.
        settings: of PPO and the memory.
        seed: of the initial weights and of all draws.
    """

    citation = "Duan et al. (2016), RL2, arXiv:1611.02779; Wang et al. (2016), arXiv:1611.05763"

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        self.problem, self.settings = problem, settings
        self._generator = torch_generator("rl2", seed)
        self.policy = RecurrentPolicy(problem, settings, torch_generator("rl2", "initial weights", seed))
        self.optimizer = torch.optim.Adam(self.policy.parameters(), lr=settings.learning_rate, fused=True)
        self.moments = RunningMoments(problem.observations)
        self.reward_scale = ReturnScale(settings.discount, settings.reward_clip)

    @property
    def generator(self) -> torch.Generator:
        return self._generator

    def begin(self, copies: int) -> Carry:
        memory = self.policy.empty(copies)
        return Carry(memory, memory.new_zeros(copies, self.problem.actions.features + 2))

    def act(self, carry: Carry, obs: Tensor, generator: torch.Generator | None) -> tuple[Decision, Carry]:
        memory, outputs, value = self.policy.step(carry.memory, self.moments(obs), carry.context)
        actions, scale = self.problem.actions, self.policy.actor_critic.log_scale
        action = actions.mode(outputs) if generator is None else actions.draw(outputs, scale, generator)
        return Decision(action, actions.log_prob(outputs, scale, action), value), Carry(memory, carry.context)

    def observe(self, carry: Carry, action: Tensor, transition: Transition) -> Carry:
        reward = transition.reward[:, None]
        done = torch.full_like(reward, float(transition.episode_end))
        return Carry(carry.memory, torch.cat([self.problem.actions.encode(action), reward, done], -1))

    def update(self, rollout: Rollout, frames: int) -> dict[str, float]:
        settings, trajectories, actions = self.settings, rollout.trajectories, self.problem.actions
        advantages = generalized_advantages(
            self.reward_scale(trajectories.reward), rollout.value, discount=settings.discount, trace=settings.trace
        )
        obs, context = self.moments(trajectories.obs), rollout.contexts[:-1]

        def evaluate(batch: Tensor) -> Evaluation:
            outputs, value = self.policy.unroll(obs[:, batch], context[:, batch])
            scale = self.policy.actor_critic.log_scale
            log_prob = actions.log_prob(outputs, scale, trajectories.action[:, batch])
            return Evaluation(log_prob, value, actions.entropy(outputs, scale))

        targets = Targets(rollout.log_prob, rollout.value, advantages)
        metrics = ppo_update(
            evaluate, targets, self.policy.parameters(), self.optimizer, settings, self._generator, frames
        )
        self.moments.update(trajectories.obs)  # last: the update sees the inputs that were acted on
        metrics |= self.policy.cell.take_solves().metrics("memory")
        return metrics | self.policy.actor_critic.take_solves()

    def state_dict(self) -> dict[str, Any]:
        return state_of_parts(self._parts(), self._generator)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_parts(self._parts(), self._generator, state)

    def _parts(self) -> dict[str, Any]:
        return {
            "policy": self.policy,
            "optimizer": self.optimizer,
            "moments": self.moments,
            "reward scale": self.reward_scale,
        }
