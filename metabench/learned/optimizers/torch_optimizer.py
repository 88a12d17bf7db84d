"""An update rule as a ``torch.optim.Optimizer``."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor
from torch.func import vmap

from metabench.errors import ArgumentError, GradientError
from metabench.learned.optimizers.rule import UpdateRule, Weights

__all__ = ["LearnedOptimizer", "OptimizerFactory"]

_log = logging.getLogger(__name__)
NonFinite = Literal["raise", "skip"]


class LearnedOptimizer(torch.optim.Optimizer):
    """Trains any module by an update rule; parameter groups, ``state_dict``, schedulers and resume as with any other.

    Args:
        params: parameters, or groups of them.
        rule: the update rule.
        weights: its weights.
        lr: factor on the rule's step, 1 unless a scheduler or the user changes it; an option of a group.
        non_finite: what to do with a step in which a gradient has NaN or infinity: "raise", or "skip" the whole step
            and count it in :attr:`skipped_steps`.
        replicated: the parameters have a leading replicate axis, as those of ``metabench.spaces.Network``, and each
            replicate is optimised as if it were alone.

    Raises:
        ArgumentError: if there are no parameters, or some are not float32 or float64.
    """

    def __init__(
        self,
        params: Iterable[Any],
        rule: UpdateRule,
        weights: Weights,
        *,
        lr: float = 1.0,
        non_finite: NonFinite = "raise",
        replicated: bool = False,
    ) -> None:
        params = list(params)
        if not params or all(isinstance(group, dict) and not list(group["params"]) for group in params):
            raise ArgumentError("there are no parameters to optimise; expected a module that has some.")
        if non_finite not in ("raise", "skip"):
            raise ArgumentError(f"non_finite={non_finite!r}: expected 'raise' or 'skip'.")
        if not lr >= 0:
            raise ArgumentError(f"lr={lr}: expected a number >= 0, a factor on the learned step.")
        self.rule, self.rule_weights = rule, {name: value.detach().clone() for name, value in weights.items()}
        self.non_finite, self.replicated = non_finite, replicated
        super().__init__(params, {"lr": lr, "skipped_steps": 0})

    def add_param_group(self, param_group: dict[str, Any]) -> None:
        """Adds a group.

        Raises:
            ArgumentError: if a parameter is not float32 or float64.
        """
        super().add_param_group(param_group)
        for value in self.param_groups[-1]["params"]:
            if value.dtype not in (torch.float32, torch.float64):
                raise ArgumentError(
                    f"a parameter is {value.dtype}; a learned step of 1e-3 is lost in half precision and complex "
                    "numbers are not supported: keep float32 parameters (autocast may still compute in less)."
                )

    @property
    def skipped_steps(self) -> int:
        """Steps left out because a gradient was not finite."""
        return self.param_groups[0]["skipped_steps"]

    @torch.no_grad()
    def step(self, closure: Callable[[], Any] | None = None) -> Any:  # pyright: ignore[reportIncompatibleMethodOverride]
        """One step of every parameter that has a gradient.

        Raises:
            ArgumentError: for a sparse gradient.
            GradientError: for one that is not finite, if that is to raise.
        """
        loss = None
        if closure is not None:
            with torch.enable_grad():
                loss = closure()
        groups = [[p for p in group["params"] if p.grad is not None] for group in self.param_groups]
        if not self._usable([p.grad for group in groups for p in group]):
            for group in self.param_groups:
                group["skipped_steps"] += 1
            return loss
        for group, chosen in zip(self.param_groups, groups, strict=True):
            by_type: dict[Any, list[Tensor]] = {}
            for p in chosen:
                by_type.setdefault((p.dtype, p.device), []).append(p)
            for tensors in by_type.values():
                self._update(tensors, group["lr"])
        return loss

    def _usable(self, gradients: list[Any]) -> bool:
        for grad in gradients:
            if grad.is_sparse:
                raise ArgumentError(
                    "a gradient is sparse; the features need all entries: make it dense (Embedding(sparse=False))."
                )
        if all(bool(torch.isfinite(grad).all()) for grad in gradients):
            return True
        if self.non_finite == "raise":
            raise GradientError(
                "a gradient is NaN or infinite; nothing was changed. Lower the loss scale, clip, or pass "
                "non_finite='skip' to leave such steps out."
            )
        _log.warning("step left out: a gradient is NaN or infinite (%d before it)", self.skipped_steps)
        return False

    def _update(self, tensors: list[Tensor], factor: float) -> None:
        params = {str(i): p.detach() for i, p in enumerate(tensors)}
        grads = {str(i): p.grad.detach() for i, p in enumerate(tensors) if p.grad is not None}
        init: Callable[..., Any] = vmap(self.rule.init) if self.replicated else self.rule.init
        step: Callable[..., Any] = vmap(self.rule.step, in_dims=(None, 0, 0, 0)) if self.replicated else self.rule.step
        fresh = {name: value for name, value in params.items() if not self.state[tensors[int(name)]]}
        state = init(fresh) if fresh else {}
        state.update({str(i): dict(self.state[p]) for i, p in enumerate(tensors) if str(i) not in state})
        weights = {name: value.to(tensors[0].device) for name, value in self.rule_weights.items()}
        new, remembered = step(weights, params, grads, state)
        for i, p in enumerate(tensors):
            p.copy_(new[str(i)] if factor == 1.0 else torch.lerp(p, new[str(i)], factor))
            self.state[p] = remembered[str(i)]


@dataclass(frozen=True)
class OptimizerFactory:
    """A rule with its weights; called with parameters it makes an optimizer.

    Attributes:
        name: what was loaded.
        rule: the update rule.
        weights: its weights.
        manifest: how they were found.
    """

    name: str
    rule: UpdateRule
    weights: Weights = field(repr=False)
    manifest: dict[str, Any] = field(repr=False)

    def __call__(self, params: Iterable[Any], **options: Any) -> LearnedOptimizer:
        """An optimizer of ``params``; options are those of :class:`LearnedOptimizer`."""
        return LearnedOptimizer(params, self.rule, self.weights, **options)
