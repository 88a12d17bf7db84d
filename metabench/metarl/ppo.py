"""Proximal policy optimisation: one loop for a policy without memory and for one trained through its recurrence.

What differs is only what a sample is: a single step, or a whole trial.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import torch
from torch import Tensor, nn

from metabench.metarl.settings import Settings

__all__ = ["Evaluation", "Targets", "clipped_objective", "clipped_value_loss", "ppo_update"]


class Targets(NamedTuple):
    """What a rollout says about its actions; samples along the last axis: ``(samples,)`` or ``(steps, samples)``."""

    log_prob: Tensor
    value: Tensor
    advantage: Tensor


class Evaluation(NamedTuple):
    """What the policy says about the same actions now, in the shape of the targets."""

    log_prob: Tensor
    value: Tensor
    entropy: Tensor


def clipped_objective(log_prob: Tensor, old_log_prob: Tensor, advantage: Tensor, clip: float) -> Tensor:
    """The mean of min(ratio A, clip(ratio) A): what is maximised.

    Reference:
        Schulman et al. (2017), arXiv:1707.06347, equation 7.
    """
    ratio = (log_prob - old_log_prob).exp()
    return torch.minimum(ratio * advantage, ratio.clamp(1 - clip, 1 + clip) * advantage).mean()


def clipped_value_loss(value: Tensor, old_value: Tensor, returns: Tensor, clip: float) -> Tensor:
    """Half the mean of the larger squared error, of the value or of the value held within ``clip`` of the old one."""
    held = old_value + (value - old_value).clamp(-clip, clip)
    return 0.5 * torch.maximum((value - returns).square(), (held - returns).square()).mean()


def ppo_update(
    evaluate: Callable[[Tensor], Evaluation],
    targets: Targets,
    parameters: Iterable[nn.Parameter],
    optimizer: torch.optim.Optimizer,
    settings: Settings,
    generator: torch.Generator,
    frames: int = 0,
) -> dict[str, float]:
    """Takes ``ppo_epochs`` x ``minibatches`` gradient steps.

    Args:
        evaluate: indices of samples -> the policy's view of them, differentiable.
        targets: of all samples; advantages are normalised here, over all of them.
        parameters: of the policy; their gradient norm is clipped.
        optimizer: of the same parameters; its rate is set to what the settings say.
        settings: of PPO.
        generator: of the minibatches.
        frames: environment steps before this update, for the weight of the entropy and the rate.

    Returns:
        Means over the gradient steps, by their usual names.
    """
    parameters = list(parameters)
    advantage = targets.advantage
    advantage = (advantage - advantage.mean()) / (advantage.std() + 1e-5)
    returns = targets.advantage + targets.value
    samples = targets.value.shape[-1]
    entropy_weight = settings.entropy_weight_at(frames)
    for group in optimizer.param_groups:
        group["lr"] = settings.learning_rate_at(frames)
    totals: list[Tensor] = []
    for _ in range(settings.ppo_epochs):
        for batch in torch.randperm(samples, generator=generator).chunk(settings.minibatches):
            old_log_prob, old_value = targets.log_prob[..., batch], targets.value[..., batch]
            now = evaluate(batch)
            objective = clipped_objective(now.log_prob, old_log_prob, advantage[..., batch], settings.clip)
            value_loss = clipped_value_loss(now.value, old_value, returns[..., batch], settings.clip)
            entropy = now.entropy.mean()
            loss = -objective + settings.value_weight * value_loss - entropy_weight * entropy
            optimizer.zero_grad()
            loss.backward()
            norm = nn.utils.clip_grad_norm_(parameters, settings.max_gradient_norm)
            optimizer.step()
            with torch.no_grad():
                change = now.log_prob - old_log_prob
                kl = (change.exp() - 1 - change).mean()
                clipped = ((change.exp() - 1).abs() > settings.clip).float().mean()
            totals.append(torch.stack([-objective, value_loss, entropy, kl, clipped, norm]).detach())
    names = ("policy_loss", "value_loss", "entropy", "approx_kl", "clipfrac", "gradient_norm")
    means = torch.stack(totals).mean(0).tolist()
    return {f"losses/{name}": value for name, value in zip(names, means, strict=True)}
