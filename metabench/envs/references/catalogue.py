"""Which reference policies each environment has, and what they score."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.envs.bandit import Bandit
from metabench.envs.definition import EnvironmentTask, load_environment
from metabench.envs.family import TaskFamily
from metabench.envs.grid_navigation import GridNavigation
from metabench.envs.make import make_family
from metabench.envs.mdp_playground import MDPPlayground
from metabench.envs.references import bandit_optimal, bandit_policies, gittins, grid_policies, playground, points, psrl
from metabench.envs.references.policy import ReferencePolicy, run_trial
from metabench.envs.references.random import RandomPolicy, random_return
from metabench.envs.references.rooms_optimal import RoomsBeliefPolicy, RoomsGoalsKnown
from metabench.envs.room_navigation import RoomNavigation
from metabench.envs.sparse_point import SparsePoint
from metabench.envs.treasure_hunt import TreasureHunt
from metabench.envs.trial import TrialVectorEnv
from metabench.errors import ArgumentError, UnknownNameError
from metabench.registry import did_you_mean

__all__ = ["POLICIES", "Estimate", "estimate_return", "make_policy", "policies_of", "unit_of"]

POLICIES: dict[str, dict[str, Callable[[], ReferencePolicy]]] = {
    "grid-navigation": {
        "random": RandomPolicy,
        "posterior-sampling": grid_policies.GridPosteriorSampling,
        "bayes-optimal": grid_policies.SearchPlan,
        "goal-known": grid_policies.GoalKnown,
    },
    "room-navigation": {
        "random": RandomPolicy,
        "stop-at-goal-1": lambda: RoomsBeliefPolicy(1),
        "stop-at-goal-2": lambda: RoomsBeliefPolicy(2),
        "bayes-optimal": RoomsBeliefPolicy,
        "goals-known": RoomsGoalsKnown,
    },
    "treasure-hunt": {
        "random": RandomPolicy,
        "circle-walk": points.CircleWalk,
        "climb-to-the-middle": lambda: points.ClimbThenGo(to_the_middle=True),
        "climb-then-go": points.ClimbThenGo,
        "goal-known": points.PointGoalKnown,
    },
    "sparse-point": {
        "random": RandomPolicy,
        "arc-sweep": points.ArcSweep,
        "inner-arc-sweep": lambda: points.ArcSweep(0.9, 0.2),
        "goal-known": points.PointGoalKnown,
    },
    "bandit": {
        "random": RandomPolicy,
        "thompson-sampling": bandit_policies.ThompsonSampling,
        "ucb1": bandit_policies.UCB1,
        "ucb1-tuned": lambda: bandit_policies.UCB1(0.2, prior=True),
        "gittins": gittins.GittinsIndex,
        "arms-known": bandit_policies.BestArm,
    },
    "tabular-mdp": {"random": RandomPolicy, "psrl": psrl.PSRL, "model-known": psrl.ModelKnown},
    "mdp-playground": {"random": RandomPolicy, "model-known": playground.PlaygroundModelKnown},
}
"""Name in the registry of environments -> policy -> what makes it."""

_UNITS = {
    "grid-navigation": "bayes-optimal",
    "room-navigation": "bayes-optimal",
    "treasure-hunt": "climb-then-go",
    "sparse-point": "inner-arc-sweep",
    "bandit": "gittins",
    "tabular-mdp": "model-known",
    "mdp-playground": "model-known",
}
_GITTINS_LIMIT = 150  # the index table grows with the cube of the pulls
_BATCH = 10_000


@dataclass(frozen=True)
class Estimate:
    """A policy's undiscounted return.

    Attributes:
        mean: of each episode of a trial in turn.
        standard_error: of the trial's return; 0 where it was computed exactly.
    """

    mean: tuple[float, ...]
    standard_error: float


def policies_of(name: str) -> tuple[str, ...]:
    """The reference policies of an environment at its parameters, from the least to the most that is known."""
    task = load_environment(name)
    names = list(POLICIES.get(task.environment, {}))
    pulls = task.parameters.get("pulls", 0)
    if task.environment == "bandit" and pulls <= bandit_optimal.MOST_PULLS:
        names.insert(names.index("arms-known"), "bayes-optimal")
    if pulls > _GITTINS_LIMIT:
        names.remove("gittins")
    return tuple(names)


def unit_of(name: str) -> str:
    """The policy whose return is a score of one: Bayes-optimal where that is known, else the best there is."""
    names, task = policies_of(name), load_environment(name)
    if "bayes-optimal" in names:
        return "bayes-optimal"
    unit = _UNITS.get(task.environment, "random")
    return unit if unit in names else "ucb1-tuned"


def make_policy(name: str, policy: str) -> ReferencePolicy:
    """A reference policy to run in the environment ``name``.

    Raises:
        UnknownNameError: if the environment has no such policy.
    """
    known = POLICIES.get(load_environment(name).environment, {})
    if policy not in known:
        raise UnknownNameError(
            f"{name} has no reference policy {policy!r}.{did_you_mean(policy, known)} Known: {', '.join(known)}."
        )
    return known[policy]()


def estimate_return(name: str, policy: str, *, problems: int = 20_000, seed: int = 0) -> Estimate:
    """What a reference policy scores over the whole task distribution.

    Exact where there is a formula or where tasks are finitely many and nothing is left to chance; over evenly spaced
    tasks where a task is an angle; else from simulated trials.

    Args:
        name: an environment.
        policy: one of :func:`policies_of`.
        problems: trials to simulate.
        seed: of tasks and dynamics.
    """
    if problems < 2:
        raise ArgumentError(f"problems={problems}: expected at least 2.")
    task = load_environment(name)
    family = make_family(name)
    exact = _exact(task, family, policy)
    if exact is not None:
        return Estimate(exact, 0.0)
    chosen = make_policy(name, policy)
    tasks, chancy = _tasks(family, policy, problems)
    parts = []
    for i, batch in enumerate(_batches(family, tasks, problems)):
        env = TrialVectorEnv(family, batch if isinstance(batch, int) else len(batch))
        if not isinstance(batch, int):
            env.set_task(batch)
        parts.append(run_trial(chosen, env, seed=seed * 1_000_003 + i))
    returns = torch.cat(parts, 1)
    error = float(returns.sum(0).std()) / math.sqrt(returns.shape[1]) if chancy else 0.0
    return Estimate(tuple(returns.mean(1).tolist()), error)


def _exact(task: EnvironmentTask, family: TaskFamily, policy: str) -> tuple[float, ...] | None:
    if policy == "random" and isinstance(family, GridNavigation | RoomNavigation):
        return (random_return(family),) * family.episodes
    if isinstance(family, Bandit):
        n, k = family.horizon, family.arms
        if policy == "random":
            return (n / 2,)
        if policy == "arms-known":
            return (n * k / (k + 1),)  # the largest of k uniform numbers has mean k / (k + 1)
        if policy == "bayes-optimal":
            return (bandit_optimal.optimal_value(n, k),)
    return None


def _tasks(family: TaskFamily, policy: str, problems: int) -> tuple[Tensor | None, bool]:
    """Fixed tasks, if chance need not choose them, and whether anything is left to chance."""
    chancy = policy in ("random", "posterior-sampling")
    if isinstance(family, GridNavigation | RoomNavigation):
        every = family.goals["all"] if isinstance(family, GridNavigation) else torch.arange(len(family.goals))
        return every.repeat(max(1, problems // len(every)) if chancy else 1), chancy
    if isinstance(family, TreasureHunt | SparsePoint):
        span = 2 * math.pi if isinstance(family, TreasureHunt) else math.pi
        return (torch.arange(problems) + 0.5) / problems * span, chancy
    return None, True


def _batches(family: TaskFamily, tasks: Tensor | None, problems: int) -> Iterator[Tensor | int]:
    size = _BATCH if not isinstance(family, MDPPlayground) else 1_000
    if tasks is not None:
        yield from tasks.split(size)
        return
    for first in range(0, problems, size):
        yield min(size, problems - first)
