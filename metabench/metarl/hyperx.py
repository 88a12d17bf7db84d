"""HyperX: variBAD that is paid, while it learns, for new states and beliefs and for rewards that it cannot predict."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metabench.envs import Transition
from metabench.metarl.agent import Agent, Carry, Decision, Rollout
from metabench.metarl.encoder import Belief
from metabench.metarl.moments import ReturnScale
from metabench.metarl.novelty import Novelty, annealed
from metabench.metarl.problem import Problem
from metabench.metarl.settings import Settings
from metabench.metarl.states import load_parts, state_of_parts
from metabench.metarl.varibad import VariBAD
from metabench.seeding import torch_generator

__all__ = ["HyperX"]


class HyperX(Agent):
    """variBAD with annealed bonuses for new states and beliefs and for rewards that its decoder gets wrong.

    PPO's reward is r_norm + max(0, 1 - frames / N) (w_h b_h / sd_h + w_v b_v / sd_v), where N is the run's frames or a
    share of them. Both bonuses belong to a transition and are computed on what it led to, before any reset: b_h, the
    novelty of (s', mean, log variance) with the belief after the transition; b_v, the error with which that belief's
    mean decodes the transition's own reward (and next state). The standard deviations are running ones, of the bonuses'
    discounted returns.

    Args:
        problem: the environment's shape.
        settings: of everything.
        seed: of the initial weights and of all draws.
    """

    citation = "Zintgraf et al. (2021), Exploration in approximate hyper-state space for meta RL, arXiv:2010.01062"

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        self.problem, self.settings = problem, settings
        self.base = VariBAD(problem, settings, seed)
        sizes = (problem.observations, settings.latent, settings.latent)
        self.novelty = Novelty(sizes, settings, torch_generator("hyperx", "initial weights", seed))
        self.state_scale = ReturnScale(settings.discount, settings.bonus_clip)
        self.reward_scale = ReturnScale(settings.discount, settings.bonus_clip)

    @property
    def generator(self) -> torch.Generator:
        return self.base.generator

    def begin(self, copies: int) -> Carry:
        return self.base.begin(copies)

    def act(self, carry: Carry, obs: Tensor, generator: torch.Generator | None) -> tuple[Decision, Carry]:
        return self.base.act(carry, obs, generator)

    def observe(self, carry: Carry, action: Tensor, transition: Transition) -> Carry:
        return self.base.observe(carry, action, transition)

    def update(self, rollout: Rollout, frames: int) -> dict[str, float]:
        base, settings, trajectories = self.base, self.settings, rollout.trajectories
        base.buffer.add(trajectories)
        reached = base.hyperstate(trajectories.next_obs, rollout.contexts[1:])
        new, surprising = self.bonuses(rollout)
        factor = annealed(frames, settings.bonus_share * settings.frames)
        bonus = settings.state_bonus * self.state_scale(new) + settings.reward_bonus * self.reward_scale(surprising)
        rewards = base.reward_scale(trajectories.reward) + factor * bonus
        metrics = base.update_policy(rollout, rewards, frames)
        metrics |= base.update_belief(frames)
        flat = tuple(part.flatten(0, 1) for part in reached)
        metrics["losses/novelty"] = self.novelty.learn(*flat, generator=base.generator)
        base.update_moments(rollout)
        return metrics | {
            "charts/bonus_factor": factor,
            "charts/state_bonus": float(new.mean()) / self.state_scale.scale,
            "charts/reward_bonus": float(surprising.mean()) / self.reward_scale.scale,
        }

    @torch.no_grad()
    def bonuses(self, rollout: Rollout) -> tuple[Tensor, Tensor]:
        """b_h and b_v of every transition, ``(steps, copies)`` each, before scaling."""
        base, trajectories, after = self.base, rollout.trajectories, rollout.contexts[1:]
        new = self.novelty(*base.hyperstate(trajectories.next_obs, after))
        latent = Belief(*after.chunk(2, -1)).mean
        surprising = self.settings.reward_weight * base.reward_decoder.of_steps(latent, trajectories)
        if base.state_decoder is not None:
            surprising = surprising + base.state_decoder.of_steps(latent, trajectories)
        return new, surprising

    def cell_probabilities(self, context: Tensor) -> Tensor | None:
        """As variBAD's."""
        return self.base.cell_probabilities(context)

    def state_dict(self) -> dict[str, Any]:
        return state_of_parts(self._parts(), self.generator)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_parts(self._parts(), self.generator, state)

    def _parts(self) -> dict[str, Any]:
        return {
            "varibad": self.base,
            "novelty": self.novelty,
            "novelty optimizer": self.novelty.optimizer,
            "state scale": self.state_scale,
            "reward scale": self.reward_scale,
        }
