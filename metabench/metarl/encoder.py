"""The belief encoder: what has happened so far -> a normal distribution over the task's latent."""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn

from metabench.blocks.memory import make_memory_cell
from metabench.metarl.networks import dense
from metabench.metarl.settings import Settings

__all__ = ["Belief", "Encoder"]


class Belief(NamedTuple):
    """A diagonal normal distribution over latents: mean and logarithm of the variance, each ``(..., latent)``."""

    mean: Tensor
    log_variance: Tensor

    def draw(self, generator: torch.Generator) -> Tensor:
        """One sample of each, differentiable in mean and variance."""
        noise = torch.empty_like(self.mean).normal_(generator=generator)
        return self.mean + noise * (0.5 * self.log_variance).exp()


class Encoder(nn.Module):
    """ReLU embeddings of (action, next state, reward) -> memory cell -> belief. The prior is the belief at memory zero.

    Args:
        observations: dimension of a state.
        actions: dimension of an action's encoding.
        settings: sizes, and the memory cell's name.
        generator: of the initial weights.

    Reference:
        Zintgraf et al. (2020), VariBAD, arXiv:1910.08348.
    """

    def __init__(self, observations: int, actions: int, settings: Settings, generator: torch.Generator) -> None:
        super().__init__()
        self.of_action = dense(actions, settings.action_embedding, generator)
        self.of_state = dense(observations, settings.state_embedding, generator)
        self.of_reward = dense(1, settings.reward_embedding, generator)
        inputs = settings.action_embedding + settings.state_embedding + settings.reward_embedding
        self.cell = make_memory_cell(settings.memory_cell, inputs, settings.memory_width, generator)
        self.to_mean = dense(settings.memory_width, settings.latent, generator, gain=1.0)
        self.to_log_variance = dense(settings.memory_width, settings.latent, generator, gain=1.0)

    def empty(self, copies: int) -> Tensor:
        """The memory before anything has happened, ``(copies, width)``."""
        return self.to_mean.weight.new_zeros(copies, self.cell.width)

    def belief(self, memory: Tensor) -> Belief:
        """The belief that a memory ``(..., width)`` stands for."""
        return Belief(self.to_mean(memory), self.to_log_variance(memory))

    def step(self, memory: Tensor, action: Tensor, next_obs: Tensor, reward: Tensor) -> Tensor:
        """The memory after one more transition: ``(copies, ...)`` each, the reward ``(copies,)``."""
        return self.cell.step(memory, self._embed(action, next_obs, reward))

    def unroll(self, action: Tensor, next_obs: Tensor, reward: Tensor) -> Belief:
        """The prior and the posterior after each step of whole trajectories.

        Args:
            action: encoded, ``(steps, batch, actions)``.
            next_obs: ``(steps, batch, observations)``.
            reward: ``(steps, batch)``.

        Returns:
            Beliefs ``(steps + 1, batch, latent)``, the prior first.
        """
        start = self.empty(action.shape[1])
        states = self.cell.unroll(start, self._embed(action, next_obs, reward))
        return self.belief(torch.cat([start[None], states]))

    def _embed(self, action: Tensor, next_obs: Tensor, reward: Tensor) -> Tensor:
        parts = [self.of_action(action), self.of_state(next_obs), self.of_reward(reward[..., None])]
        return torch.relu(torch.cat(parts, -1))
