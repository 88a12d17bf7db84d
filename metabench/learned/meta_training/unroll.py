"""Inner training of many problem instances at once, each by an update rule with weights of its own."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.func import vmap

from metabench.learned.optimizers.rule import Parameters, State, UpdateRule, Weights
from metabench.problems import Problem

__all__ = ["InnerRun", "begin", "flatten", "unflatten", "unroll"]

_FLOOR = 1e-2  # in the logarithm: a loss far below it has fallen far enough


@dataclass(frozen=True)
class InnerRun:
    """Where the inner training of a batch of instances stands.

    Attributes:
        parameters: ``(instances, ...)`` each.
        state: of the rule, likewise.
        first_loss: the loss before any step, ``(instances,)``: later ones are given as multiples of it.
        step: inner steps done.
        seeds: of the instances.
    """

    parameters: Parameters
    state: State
    first_loss: Tensor
    step: int
    seeds: tuple[int, ...]

    def map(self, change: Callable[[Tensor], Tensor], seeds: Sequence[int] | None = None) -> InnerRun:
        """Applies ``change`` to every tensor."""
        return replace(
            self,
            parameters={name: change(value) for name, value in self.parameters.items()},
            state={n: {k: change(v) for k, v in memory.items()} for n, memory in self.state.items()},
            first_loss=change(self.first_loss),
            seeds=self.seeds if seeds is None else tuple(seeds),
        )


def flatten(weights: Weights) -> Tensor:
    """All weights in one vector, names in sorted order."""
    return torch.cat([weights[name].reshape(-1) for name in sorted(weights)])


def unflatten(vector: Tensor, like: Weights) -> Weights:
    """The inverse of :func:`flatten` for vectors ``(..., weights)``; leading axes are kept."""
    names = sorted(like)
    parts = vector.split([like[name].numel() for name in names], dim=-1)
    return {
        name: part.reshape((*vector.shape[:-1], *like[name].shape)) for name, part in zip(names, parts, strict=True)
    }


@torch.no_grad()
def begin(rule: UpdateRule, problem: Problem, seeds: Sequence[int]) -> InnerRun:
    """Fresh instances, before their first step."""
    parameters = problem.sample(seeds)
    first = problem.loss(parameters, problem.batch(seeds, 0))
    return InnerRun(parameters, vmap(rule.init)(parameters), first, 0, tuple(seeds))


def unroll(
    rule: UpdateRule,
    problem: Problem,
    weights: Weights,
    run: InnerRun,
    steps: int,
    *,
    ceiling: float = 2.0,
    logarithm: bool = False,
    second_order: bool = False,
) -> tuple[InnerRun, Tensor]:
    """Trains all instances ``steps`` steps further.

    The loss of a step is that before its update, as a multiple of the instance's first loss; what is not finite or
    above ``ceiling`` counts as ``ceiling``, and passes no gradient on.

    Under gradient mode the losses have a graph to ``weights``. Unless ``second_order``, the inner gradients are
    constants in it (Andrychowicz et al. 2016), and the problem is differentiated once a step: the slope of the loss in
    the parameters is the gradient that the rule was given, so the product of the two stands in for the loss.

    Args:
        rule: the update rule.
        problem: whose instances are trained.
        weights: with a leading axis of instances.
        run: where they stand.
        steps: inner steps.
        ceiling: largest loss that counts.
        logarithm: whether the logarithm of the multiple is what counts.
        second_order: differentiate the inner gradients too; implicit layers may refuse.

    Returns:
        The new run, and the mean loss over the steps, ``(instances,)``.
    """
    meta = torch.is_grad_enabled()
    parameters, state, total = run.parameters, run.state, torch.zeros_like(run.first_loss)
    for step in range(run.step, run.step + steps):
        batch = problem.batch(run.seeds, step)
        keep = meta and second_order
        leaves = {n: v if keep and v.requires_grad else v.detach().requires_grad_() for n, v in parameters.items()}
        with torch.enable_grad():
            loss = problem.loss(leaves, batch)
            slopes = torch.autograd.grad(loss.sum(), list(leaves.values()), create_graph=keep, materialize_grads=True)
        grads = {
            name: torch.nan_to_num(slope, nan=0.0, posinf=0.0, neginf=0.0)
            for name, slope in zip(leaves, slopes, strict=True)
        }
        if keep:
            parameters = leaves
        elif meta:
            products = [((v - v.detach()) * grads[n]).flatten(1).sum(1) for n, v in parameters.items()]
            loss = loss.detach() + torch.stack(products).sum(0)  # the value of the loss, the slope of the products
        total = total + _relative(loss if meta else loss.detach(), run.first_loss, ceiling, logarithm)
        parameters, state = vmap(rule.step)(weights, parameters, grads, state)
    return replace(run, parameters=parameters, state=state, step=run.step + steps), total / steps


def _relative(loss: Tensor, first: Tensor, ceiling: float, logarithm: bool) -> Tensor:
    relative = loss / first
    relative = torch.where(torch.isfinite(relative) & (relative < ceiling), relative, ceiling)
    return torch.log(relative + _FLOOR) if logarithm else relative
