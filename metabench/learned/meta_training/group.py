"""The work unit of meta-training: a batch of inner runs of one problem, continued by one truncation."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from metabench.learned.array_file import Tree
from metabench.learned.meta_training.recipe import Recipe
from metabench.learned.meta_training.unroll import InnerRun, begin, unflatten, unroll
from metabench.learned.optimizers.rule import Weights
from metabench.problems import Problem
from metabench.seeding import derive, torch_generator

__all__ = ["Group", "Progress", "advance", "group_from_tree", "group_tree"]


@dataclass(frozen=True)
class Group:
    """Inner runs that share a problem and an age.

    Attributes:
        index: number of the group.
        life: how many sets of runs it has begun; a new life has another problem, horizon and instances.
        run: where its runs stand; None before the first.
        memory: of the estimator.
    """

    index: int
    life: int = 0
    run: InnerRun | None = None
    memory: Tensor | None = None


@dataclass(frozen=True)
class Progress:
    """What one truncation of a group gives.

    Attributes:
        group: continued.
        gradient: mean over its units, ``(n,)``.
        loss: mean over its units, as a multiple of the first loss.
    """

    group: Group
    gradient: Tensor
    loss: float


@dataclass(frozen=True)
class _Runs:
    """The runs of a problem as an estimator sees them."""

    recipe: Recipe
    problem: Problem
    like: Weights

    def unroll(self, weights: Tensor, run: Any) -> tuple[Any, Tensor]:
        weights_of = unflatten(weights, self.like)
        recipe = self.recipe
        return unroll(
            recipe.rule,
            self.problem,
            weights_of,
            run,
            recipe.truncation,
            ceiling=recipe.ceiling,
            logarithm=recipe.logarithm,
        )

    def select(self, run: Any, rows: Tensor) -> Any:
        return run.map(lambda value: value.detach()[rows], [run.seeds[row] for row in rows.tolist()])


def _problem(recipe: Recipe, group: Group) -> Problem:
    return recipe.problems[derive("problem", recipe.seed, group.index, group.life) % len(recipe.problems)]


def _horizon(recipe: Recipe, group: Group) -> int:
    """Log-uniform between the recipe's bounds, a multiple of the truncation."""
    low, high = recipe.horizons
    share = derive("horizon", recipe.seed, group.index, group.life) / 2**63
    steps = math.exp(math.log(low) + share * (math.log(high) - math.log(low)))
    return max(1, round(steps / recipe.truncation)) * recipe.truncation


def advance(recipe: Recipe, group: Group, weights: Tensor, iteration: int) -> Progress:
    """Continues a group by one truncation; runs that have reached their horizon give way to new ones first.

    A pure function of its arguments: it may run in any process, and again if one is lost.
    """
    problem, units = _problem(recipe, group), recipe.units
    if group.run is not None and group.run.step >= _horizon(recipe, group):
        group = Group(group.index, group.life + 1)
        problem = _problem(recipe, group)
    if group.run is None:
        seeds = [derive("instance", recipe.seed, group.index, group.life, unit) for unit in range(units)]
        run = begin(recipe.rule, problem, seeds * recipe.estimator.runs_per_unit)
        group = replace(group, run=run, memory=recipe.estimator.fresh(units, len(weights)))

    def noise(unit: int) -> Tensor:
        return torch.randn(len(weights), generator=torch_generator("noise", recipe.seed, group.index, unit, iteration))

    like = recipe.rule.weights(torch.Generator().manual_seed(0))
    memory = recipe.estimator.fresh(units, len(weights)) if group.memory is None else group.memory
    found = recipe.estimator.estimate(_Runs(recipe, problem, like), weights, group.run, memory, noise)
    moved = replace(group, run=found.run, memory=found.memory)
    return Progress(moved, found.gradient.mean(0), float(found.loss.mean()))


def group_tree(group: Group) -> tuple[Tree, dict[str, Any]]:
    """Arrays and the rest of a group, for a checkpoint."""
    if group.run is None or group.memory is None:
        return {}, {"index": group.index, "life": group.life, "step": None}
    run = group.run
    tree = {"parameters": run.parameters, "state": run.state, "first_loss": run.first_loss, "memory": group.memory}
    return tree, {"index": group.index, "life": group.life, "step": run.step, "seeds": list(run.seeds)}


def group_from_tree(tree: Tree, document: dict[str, Any]) -> Group:
    """The inverse of :func:`group_tree`."""
    group = Group(document["index"], document["life"])
    if document["step"] is None:
        return group
    state = {name: tree.get("state", {}).get(name, {}) for name in tree["parameters"]}  # a rule may remember nothing
    run = InnerRun(tree["parameters"], state, tree["first_loss"], document["step"], tuple(document["seeds"]))
    return replace(group, run=run, memory=tree["memory"])
