"""variBAD: a policy that sees its own belief about the task, and a belief learnt by predicting whole trials."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from metabench.envs import Transition
from metabench.metarl.agent import Agent, Carry, Decision, Rollout
from metabench.metarl.buffer import TrajectoryBuffer
from metabench.metarl.decoder import BernoulliHeads, make_reward_decoder, make_state_decoder
from metabench.metarl.elbo import elbo_loss
from metabench.metarl.encoder import Belief, Encoder
from metabench.metarl.gae import generalized_advantages
from metabench.metarl.moments import ReturnScale, RunningMoments
from metabench.metarl.policy import ActorCritic
from metabench.metarl.ppo import Evaluation, Targets, ppo_update
from metabench.metarl.problem import Problem
from metabench.metarl.settings import Settings
from metabench.metarl.states import load_parts, state_of_parts
from metabench.seeding import torch_generator

__all__ = ["VariBAD"]

_DRAWS = 256  # from a belief, to show it


class VariBAD(Agent):
    """PPO on the state and an approximate belief, which a recurrent encoder learns by predicting whole trials.

    One update: PPO on (state, belief), both normalised and the belief detached; then ``vae_updates`` steps on the
    bound; then the running moments, last, so that the policy is updated on the very inputs that it acted on.

    Args:
        problem: the environment's shape.
        settings: of everything.
        seed: of the initial weights and of all draws.
    """

    citation = "Zintgraf et al. (2020), VariBAD: a very good method for Bayes-adaptive deep RL, arXiv:1910.08348"

    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None:
        self.problem, self.settings = problem, settings
        self._generator = torch_generator("varibad", seed)
        weights = torch_generator("varibad", "initial weights", seed)
        sizes = (problem.observations, settings.latent, settings.latent)

        self.encoder = Encoder(problem.observations, problem.actions.features, settings, weights)
        self.reward_decoder = make_reward_decoder(problem, settings, weights)
        self.state_decoder = make_state_decoder(problem, settings, weights)
        vae = [self.encoder, self.reward_decoder, *([self.state_decoder] if self.state_decoder else [])]
        self.vae_parameters = [weight for part in vae for weight in part.parameters()]
        self.vae_optimizer = torch.optim.Adam(self.vae_parameters, lr=settings.vae_learning_rate, fused=True)
        self.buffer = TrajectoryBuffer(settings.buffer)

        self.moments = [RunningMoments(size) for size in sizes]  # of s, mean, log variance
        self.reward_scale = ReturnScale(settings.discount, settings.reward_clip)
        self.shown = {"state+belief": (0, 1, 2), "state": (0,), "belief": (1, 2)}[settings.policy_inputs]
        seen = sum(sizes[i] for i in self.shown)
        self.policy = ActorCritic(seen, problem.actions, settings, weights)
        self.policy_optimizer = torch.optim.Adam(self.policy.parameters(), lr=settings.learning_rate, fused=True)

    @property
    def generator(self) -> torch.Generator:
        return self._generator

    # Acting

    def begin(self, copies: int) -> Carry:
        return self._carry(self.encoder.empty(copies))

    def act(self, carry: Carry, obs: Tensor, generator: torch.Generator | None) -> tuple[Decision, Carry]:
        outputs, value = self.policy(self.seen(obs, carry.context))
        actions, scale = self.problem.actions, self.policy.log_scale
        action = actions.mode(outputs) if generator is None else actions.draw(outputs, scale, generator)
        return Decision(action, actions.log_prob(outputs, scale, action), value), carry

    def observe(self, carry: Carry, action: Tensor, transition: Transition) -> Carry:
        encoded = self.problem.actions.encode(action)
        return self._carry(self.encoder.step(carry.memory, encoded, transition.next_obs, transition.reward))

    def _carry(self, memory: Tensor) -> Carry:
        return Carry(memory, torch.cat(self.encoder.belief(memory), -1))

    def hyperstate(self, obs: Tensor, context: Tensor) -> tuple[Tensor, ...]:
        """State, belief mean and belief log variance, each normalised by its running moments."""
        parts = (obs, *context.detach().chunk(2, -1))
        return tuple(moments(part) for moments, part in zip(self.moments, parts, strict=True))

    def seen(self, obs: Tensor, context: Tensor) -> Tensor:
        """What the policy sees, ``(..., inputs)``."""
        parts = self.hyperstate(obs, context)
        return torch.cat([parts[i] for i in self.shown], -1)

    # Learning

    def update(self, rollout: Rollout, frames: int) -> dict[str, float]:
        self.buffer.add(rollout.trajectories)
        metrics = self.update_policy(rollout, self.reward_scale(rollout.trajectories.reward), frames)
        metrics |= self.update_belief(frames)
        self.update_moments(rollout)
        return metrics

    def update_policy(self, rollout: Rollout, rewards: Tensor, frames: int) -> dict[str, float]:
        """PPO on a rollout with these rewards ``(steps, copies)``, after ``frames`` environment steps.

        Nothing happens before ``policy_start`` of the run.
        """
        settings, trajectories = self.settings, rollout.trajectories
        if frames < settings.policy_start * settings.frames:
            return {}
        advantages = generalized_advantages(rewards, rollout.value, discount=settings.discount, trace=settings.trace)
        seen = self.seen(trajectories.obs, rollout.contexts[:-1]).flatten(0, 1)
        action = trajectories.action.flatten(0, 1)
        actions = self.problem.actions

        def evaluate(batch: Tensor) -> Evaluation:
            outputs, value = self.policy(seen[batch])
            scale = self.policy.log_scale
            return Evaluation(actions.log_prob(outputs, scale, action[batch]), value, actions.entropy(outputs, scale))

        targets = Targets(rollout.log_prob.flatten(), rollout.value.flatten(), advantages.flatten())
        found = ppo_update(
            evaluate, targets, self.policy.parameters(), self.policy_optimizer, settings, self._generator, frames
        )
        return found | self.policy.take_solves()

    def update_belief(self, frames: int = 0) -> dict[str, float]:
        """Gradient steps on the bound, on trials from the buffer, after ``frames`` environment steps."""
        settings, parts = self.settings, []
        for group in self.vae_optimizer.param_groups:
            group["lr"] = settings.vae_learning_rate_at(frames)
        for _ in range(settings.vae_updates):
            trajectories = self.buffer.sample(settings.vae_batch, self._generator)
            bound = elbo_loss(
                self.encoder,
                self.reward_decoder,
                self.state_decoder,
                trajectories,
                self.problem.actions,
                reward_weight=settings.reward_weight,
                kl_weight=settings.kl_weight_at(frames),
                generator=self._generator,
                decode=settings.decode,
                terms=settings.elbo_terms,
                decoded=settings.elbo_decoded,
            )
            self.vae_optimizer.zero_grad()
            bound.loss.backward()
            self.vae_optimizer.step()
            parts.append(torch.stack(bound).detach())
        if not parts:
            return {}
        names = ("losses/elbo", "losses/reward_reconstruction", "losses/state_reconstruction", "losses/kl")
        found = dict(zip(names, torch.stack(parts).mean(0).tolist(), strict=True))
        return found | self.encoder.cell.take_solves().metrics("memory")

    def update_moments(self, rollout: Rollout) -> None:
        """Takes what the policy saw in a rollout into account."""
        parts = (rollout.trajectories.obs, *rollout.contexts[:-1].chunk(2, -1))
        for moments, part in zip(self.moments, parts, strict=True):
            moments.update(part)

    def cell_probabilities(self, context: Tensor) -> Tensor | None:
        """Decoded probability that a step onto each cell pays ``(..., cells)``; None without such a decoder.

        The mean over draws from the belief. It is not the chance that a cell is the goal: the decoder is fitted to
        steps that were taken, and a good agent stays where it is paid.
        """
        decoder = self.reward_decoder
        if not isinstance(decoder, BernoulliHeads) or decoder.by != "cell":
            return None
        belief, generator = Belief(*context.chunk(2, -1)), torch.Generator().manual_seed(0)
        return torch.stack([decoder.probabilities(belief.draw(generator)) for _ in range(_DRAWS)]).mean(0)

    # Checkpoints

    def state_dict(self) -> dict[str, Any]:
        return state_of_parts(self._parts(), self._generator)

    def load_state_dict(self, state: dict[str, Any]) -> None:
        load_parts(self._parts(), self._generator, state)

    def _parts(self) -> dict[str, Any]:
        return {
            "encoder": self.encoder,
            "reward decoder": self.reward_decoder,
            **({"state decoder": self.state_decoder} if self.state_decoder else {}),
            "vae optimizer": self.vae_optimizer,
            "buffer": self.buffer,
            "moments": torch.nn.ModuleList(self.moments),
            "reward scale": self.reward_scale,
            "policy": self.policy,
            "policy optimizer": self.policy_optimizer,
        }
