"""Advantages and discounted returns along a trial."""

from __future__ import annotations

import torch
from torch import Tensor

__all__ = ["discounted_returns", "generalized_advantages"]


def generalized_advantages(
    rewards: Tensor, values: Tensor, *, discount: float, trace: float, last_value: Tensor | None = None
) -> Tensor:
    """Generalised advantage estimates of one trial.

    The trial is the unit that an agent's return is over: a value bootstraps across the episode ends inside it, because
    what is learnt in one episode pays in the next. After the trial's last step there is nothing more to earn.

    Args:
        rewards: ``(steps, copies)``.
        values: of the states acted in, ``(steps, copies)``.
        discount: gamma.
        trace: lambda.
        last_value: of the state after the last step, ``(copies,)``; zero if None: the steps end with the trial.

    Returns:
        Advantages ``(steps, copies)``; adding ``values`` gives the returns that a critic is fitted to.

    Reference:
        Schulman et al. (2016), arXiv:1506.02438.
    """
    following = torch.zeros_like(values[0]) if last_value is None else last_value
    errors = rewards + discount * torch.cat([values[1:], following[None]]) - values
    advantages = torch.empty_like(rewards)
    running = torch.zeros_like(following)
    for t in range(len(rewards) - 1, -1, -1):
        running = errors[t] + discount * trace * running
        advantages[t] = running
    return advantages


def discounted_returns(rewards: Tensor, *, discount: float, ends: Tensor | None = None) -> Tensor:
    """What has been earned so far in the trial, older rewards discounted: G_t = discount G_{t-1} + r_t.

    Args:
        rewards: ``(steps, copies)``.
        discount: gamma.
        ends: bool ``(steps,)`` or ``(steps, copies)``: step t is the last of its trial, so that G_{t+1} starts afresh
            while G_t still counts; only the last step if None.
    """
    returns = torch.empty_like(rewards)
    running = torch.zeros_like(rewards[0])
    for t, reward in enumerate(rewards):
        running = discount * running + reward
        returns[t] = running
        if ends is not None:
            running = running * ~ends[t]
    return returns
