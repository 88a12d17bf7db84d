"""Finite-horizon planning in batches of tabular MDPs."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["plan"]


def plan(transitions: Tensor, rewards: Tensor, horizon: int) -> tuple[Tensor, Tensor]:
    """Solves each MDP of a batch by backward induction.

    Args:
        transitions: ``(n, states, actions, states)`` probabilities.
        rewards: ``(n, states, actions)`` mean rewards.
        horizon: steps.

    Returns:
        The optimal action at each step, ``(horizon, n, states)`` int64, and the optimal value of the first step,
        ``(n, states)``.
    """
    value = torch.zeros_like(rewards[..., 0])
    actions = []
    for _ in range(horizon):
        value, action = (rewards + torch.einsum("nsat,nt->nsa", transitions, value)).max(-1)
        actions.append(action)
    return torch.stack(actions[::-1]), value
