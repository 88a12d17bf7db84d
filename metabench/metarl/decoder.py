"""What a latent says about the task: the reward of every transition, and the next state where dynamics differ."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import binary_cross_entropy_with_logits, softplus

from metabench.errors import ArgumentError
from metabench.metarl.networks import SplitMLP, mlp
from metabench.metarl.problem import Problem, Trajectories
from metabench.metarl.settings import Settings

__all__ = [
    "BernoulliHeads",
    "Decoder",
    "RewardRegression",
    "StateRegression",
    "ValueHeads",
    "make_reward_decoder",
    "make_state_decoder",
]


class Decoder(nn.Module, ABC):
    """Scores transitions under latents."""

    @abstractmethod
    def of_trajectories(self, latent: Tensor, trajectories: Trajectories, counted: Tensor | None = None) -> Tensor:
        """Loss of every latent ``(k, batch, latent)`` on the steps of its trajectory, summed: ``(k, batch)``.

        Args:
            latent: the latents.
            trajectories: of each of the batch.
            counted: 1 for each step ``(k, steps)`` that a latent is scored on, else 0; all if None.
        """

    @abstractmethod
    def of_steps(self, latent: Tensor, trajectories: Trajectories) -> Tensor:
        """Loss of the latent ``(steps, batch, latent)`` of each step on that step alone: ``(steps, batch)``."""


class _Heads(Decoder):
    """One output for each cell of a grid (or each arm).

    A trajectory enters only by what each head was asked and answered in sum, so all pairs of a latent and a step cost
    no more than the heads.
    """

    def __init__(
        self, by: Literal["cell", "action"], problem: Problem, settings: Settings, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.by, self.layout = by, problem.layout
        if by == "cell":
            if problem.layout is None:
                raise ArgumentError(f"reward_decoder={settings.reward_decoder!r} needs a grid world.")
            self.heads = len(problem.layout.cells)
        else:
            self.heads = problem.actions.outputs
        self.network = mlp(settings.latent, settings.decoder_layers, self.heads, generator)

    def _asked(self, trajectories: Trajectories) -> Tensor:
        """The head that each transition asks, ``(steps, batch)``."""
        if self.by == "action":
            return trajectories.action
        assert self.layout is not None  # see __init__
        return self.layout.cell_of(trajectories.next_obs)

    def _sums(self, values: Tensor, trajectories: Trajectories, counted: Tensor | None) -> Tensor:
        """Sums of values ``(steps, batch)`` by the head asked: ``(batch, heads)``, or ``(k, batch, heads)``."""
        asked = self._asked(trajectories)
        if counted is None:
            sums = values.new_zeros(values.shape[1], self.heads)
            return sums.scatter_add_(1, asked.T, values.T)
        each = values.new_zeros(*values.shape, self.heads).scatter_(2, asked[..., None], values[..., None])
        return torch.tensordot(counted, each, 1)

    def _of_asked(self, latent: Tensor, trajectories: Trajectories) -> Tensor:
        """The output of the head that each transition asks, ``(steps, batch)``."""
        return self.network(latent).gather(-1, self._asked(trajectories)[..., None])[..., 0]


class BernoulliHeads(_Heads):
    """Is the reward there positive? Outputs are logits, the loss is the negative log-likelihood."""

    def probabilities(self, latent: Tensor) -> Tensor:
        """Probability of a positive reward for each head, ``(..., heads)``."""
        return self.network(latent).sigmoid()

    def of_trajectories(self, latent: Tensor, trajectories: Trajectories, counted: Tensor | None = None) -> Tensor:
        positive = (trajectories.reward > 0).float()
        hits, misses = (self._sums(values, trajectories, counted) for values in (positive, 1 - positive))
        logits = self.network(latent)
        return (hits * softplus(-logits) + misses * softplus(logits)).sum(-1)

    def of_steps(self, latent: Tensor, trajectories: Trajectories) -> Tensor:
        positive = (trajectories.reward > 0).float()
        return binary_cross_entropy_with_logits(self._of_asked(latent, trajectories), positive, reduction="none")


class ValueHeads(_Heads):
    """The reward there, by squared error: a regression with nothing to interpolate between cells."""

    def of_trajectories(self, latent: Tensor, trajectories: Trajectories, counted: Tensor | None = None) -> Tensor:
        reward = trajectories.reward
        count = self._sums(torch.ones_like(reward), trajectories, counted)
        # sum (f - r)^2 = count (f - mean)^2 + the squared deviations from the mean, which no latent changes.
        mean = self._sums(reward, trajectories, counted) / count.clamp(min=1)
        asked = self._asked(trajectories).T.expand(*mean.shape[:-1], -1)
        deviations = (reward.T - mean.gather(-1, asked)).square()
        own = (deviations if counted is None else deviations * counted[:, None]).sum(-1)
        return (count * (self.network(latent) - mean).square()).sum(-1) + own

    def of_steps(self, latent: Tensor, trajectories: Trajectories) -> Tensor:
        return (self._of_asked(latent, trajectories) - trajectories.reward).square()


class _Regression(Decoder):
    """Squared error of a prediction from the latent and some parts of a transition."""

    def __init__(
        self, parts: tuple[str, ...], outputs: int, problem: Problem, settings: Settings, generator: torch.Generator
    ) -> None:
        super().__init__()
        self.parts, self.actions = parts, problem.actions
        inputs = sum(problem.actions.features if part == "action" else problem.observations for part in parts)
        self.network = SplitMLP(settings.latent, inputs, settings.decoder_layers, outputs, generator)

    def of_trajectories(self, latent: Tensor, trajectories: Trajectories, counted: Tensor | None = None) -> Tensor:
        errors = self._errors(latent[:, None], trajectories)
        return (errors if counted is None else errors * counted[..., None]).sum(1)

    def of_steps(self, latent: Tensor, trajectories: Trajectories) -> Tensor:
        return self._errors(latent, trajectories)

    def _errors(self, latent: Tensor, trajectories: Trajectories) -> Tensor:
        known = {
            "state": trajectories.obs,
            "action": self.actions.encode(trajectories.action),
            "next_state": trajectories.next_obs,
        }
        predicted = self.network(latent, torch.cat([known[part] for part in self.parts], -1))
        return (predicted - self._target(trajectories)).square().sum(-1)

    @abstractmethod
    def _target(self, trajectories: Trajectories) -> Tensor:
        """What is predicted, ``(steps, batch, outputs)``."""


class RewardRegression(_Regression):
    """The reward."""

    def __init__(self, problem: Problem, settings: Settings, generator: torch.Generator) -> None:
        super().__init__(settings.reward_depends_on, 1, problem, settings, generator)

    def _target(self, trajectories: Trajectories) -> Tensor:
        return trajectories.reward[..., None]


class StateRegression(_Regression):
    """The next state, from state and action."""

    def __init__(self, problem: Problem, settings: Settings, generator: torch.Generator) -> None:
        super().__init__(("state", "action"), problem.observations, problem, settings, generator)

    def _target(self, trajectories: Trajectories) -> Tensor:
        return trajectories.next_obs


def make_reward_decoder(problem: Problem, settings: Settings, generator: torch.Generator) -> Decoder:
    """The decoder that the settings name."""
    match settings.reward_decoder:
        case "regression":
            return RewardRegression(problem, settings, generator)
        case "cell-value":
            return ValueHeads("cell", problem, settings, generator)
        case by:
            return BernoulliHeads(by, problem, settings, generator)


def make_state_decoder(problem: Problem, settings: Settings, generator: torch.Generator) -> Decoder | None:
    """The decoder of next states, or None where all tasks share their dynamics."""
    return StateRegression(problem, settings, generator) if settings.decode_states else None
