"""Actor and critic."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from metabench.metarl.actions import ActionKind
from metabench.metarl.networks import Body, dense
from metabench.metarl.settings import Settings

__all__ = ["ActorCritic"]


class ActorCritic(nn.Module):
    """Two bodies that share nothing: one for the action, one for the value.

    Args:
        inputs: dimension of what is seen.
        actions: the distribution over actions.
        settings: sizes, and the body's block.
        generator: of the initial weights.
    """

    def __init__(self, inputs: int, actions: ActionKind, settings: Settings, generator: torch.Generator) -> None:
        super().__init__()
        self.actor = Body(inputs, settings.policy_layers, settings.policy_body, generator)
        self.critic = Body(inputs, settings.policy_layers, settings.policy_body, generator)
        self.to_action = dense(self.actor.width, actions.outputs, generator, gain=0.01)  # begin nearly uniform
        self.to_value = dense(self.critic.width, 1, generator, gain=1.0)
        self.log_scale = nn.Parameter(torch.zeros(actions.outputs)) if actions.learns_scale else None

    def forward(self, seen: Tensor) -> tuple[Tensor, Tensor]:
        """Outputs for the action ``(..., outputs)`` and values ``(...)`` of what is seen ``(..., inputs)``."""
        return self.to_action(self.actor(seen)), self.to_value(self.critic(seen))[..., 0]

    def take_solves(self) -> dict[str, float]:
        """What the actor's block cost in training since the last time, by its names in the log; empty without one."""
        self.critic.take_solves()  # begins anew, too
        solves = self.actor.take_solves()
        return {} if solves is None else solves.metrics("policy")
