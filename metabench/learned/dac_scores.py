"""Policies for the step-size environment, and what they and hand-made optimizers score on the same instances."""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import torch
import tyro
from torch.func import vmap

from metabench.errors import ArgumentError
from metabench.learned.dac import SGDControlVector, log_regret
from metabench.learned.optimizers import Adam, RMSprop, UpdateRule, Weights
from metabench.problems import ArchitectureProblem, Parabola, Problem, Quadratic
from metabench.program import run_program
from metabench.seeding import derive

__all__ = ["RATES", "Policy", "Return", "cosine_policy", "rule_returns", "score_policy", "score_table", "static_policy"]

Policy = Callable[[dict[str, np.ndarray]], np.ndarray]
"""Observations of all instances -> actions ``(instances, 2)``."""

RATES = tuple(float(rate) for rate in np.logspace(-5, 0, 14))
"""Learning rates that static policies and optimizers choose from: 14, log-spaced."""

_NO_MOMENTUM = -10.0


@dataclass(frozen=True)
class Return:
    """The mean reward of a step over episodes, and half of its 95 % interval over instances."""

    name: str
    mean: float
    half_width: float


def static_policy(rate: float, momentum: float = 0.0) -> Policy:
    """The same rate and momentum at every step."""
    action = [math.log10(rate), math.log10(momentum) if momentum > 0 else _NO_MOMENTUM]
    return lambda observation: np.tile(action, (len(observation["momentum"]), 1))


def cosine_policy(peak: float, momentum: float, steps: int) -> Policy:
    """A half cosine from ``peak`` down to nearly nothing over an episode."""

    def act(observation: dict[str, np.ndarray]) -> np.ndarray:
        share = 1 - observation["remaining_budget"][:, 0] / steps
        rate = np.maximum(peak * (1 + np.cos(np.pi * share)) / 2, 1e-10)
        level = math.log10(momentum) if momentum > 0 else _NO_MOMENTUM
        return np.stack([np.log10(rate), np.full_like(rate, level)], axis=1)

    return act


def _summary(name: str, rewards: np.ndarray) -> Return:
    """Rewards ``(steps, instances)``."""
    each = rewards.mean(0)
    return Return(name, float(each.mean()), float(1.96 * each.std(ddof=1) / math.sqrt(len(each))))


def score_policy(name: str, policy: Policy, problem: Problem, *, instances: int, steps: int, seed: int) -> Return:
    """Plays one episode on each instance."""
    env = SGDControlVector(problem, num_envs=instances, steps=steps, gradient="rms")
    observation, _ = env.reset(seed=seed)
    rewards = np.zeros((steps, instances))
    for step in range(steps):
        observation, rewards[step], _, _, _ = env.step(policy(observation))
    return _summary(name, rewards)


def rule_returns(
    name: str, rule: UpdateRule, weights: Weights, problem: Problem, *, instances: int, steps: int, seed: int
) -> Return:
    """The rewards that an update rule would have earned on the instances of :func:`score_policy`."""
    seeds = [derive("dac", seed, 0, i) for i in range(instances)]
    parameters, minimum = problem.sample(seeds), problem.minimum(seeds)
    state, rewards = vmap(rule.init)(parameters), np.zeros((steps, instances))
    for step in range(steps + 1):
        leaves = {key: value.detach().requires_grad_() for key, value in parameters.items()}
        loss = problem.loss(leaves, problem.batch(seeds, step))
        if step:
            rewards[step - 1] = -log_regret(loss.detach(), minimum).numpy()
        slopes = dict(zip(leaves, torch.autograd.grad(loss.sum(), list(leaves.values())), strict=True))
        parameters, state = vmap(rule.step, in_dims=(None, 0, 0, 0))(weights, parameters, slopes, state)
    return _summary(name, rewards)


def score_table(problem: Problem, *, instances: int = 200, steps: int = 10, seed: int = 0) -> tuple[Return, ...]:
    """Random actions, the best static rate with and without momentum, the best cosine, RMSprop and Adam.

    The best of the 14 rates is chosen on other instances (of seed + 1) than those it is scored on.
    """
    if instances < 2:
        raise ArgumentError(f"instances={instances}: expected at least 2.")
    common = {"problem": problem, "instances": instances, "steps": steps}

    def best(name: str, play: Callable[[float, int], Return]) -> Return:
        rate = max(RATES, key=lambda r: play(r, seed + 1).mean)
        found = play(rate, seed)
        return Return(f"{name}, rate {rate:.2g}", found.mean, found.half_width)

    generator = np.random.default_rng(derive("dac random policy", seed))
    random = score_policy("random", lambda o: generator.uniform(-10, 0, (len(o["momentum"]), 2)), seed=seed, **common)
    rows = [random]
    for momentum in (0.0, 0.9):
        rows.append(
            best(
                f"static, momentum {momentum:g}",
                lambda r, s, m=momentum: score_policy("", static_policy(r, m), seed=s, **common),
            )
        )
    rows.append(
        best("cosine, momentum 0", lambda r, s: score_policy("", cosine_policy(r, 0.0, steps), seed=s, **common))
    )
    rules: Sequence[tuple[str, UpdateRule]] = (("RMSprop", RMSprop()), ("Adam", Adam()))
    for name, rule in rules:
        rows.append(best(name, lambda r, s, u=rule: rule_returns("", u, {"rate": torch.tensor(r)}, seed=s, **common)))
    return tuple(rows)


PROBLEMS: dict[str, Problem] = {
    "parabola": Parabola(),
    "quadratic": Quadratic(10),
    "mlp.tied": ArchitectureProblem(architecture="mlp.tied"),
}
"""What ``python -m metabench.learned.dac_scores`` knows by name."""


@dataclass(frozen=True)
class Options:
    """Score static policies, a schedule and adaptive optimizers in the step-size environment."""

    problem: tyro.conf.Positional[str] = "parabola"
    """parabola, quadratic or mlp.tied."""
    instances: int = 200
    """Problem instances, one episode each."""
    steps: int = 10
    """Steps of an episode."""


def main(argv: Sequence[str] | None = None) -> None:
    """``python -m metabench.learned.dac_scores``: one line a policy on stdout."""
    options = tyro.cli(Options, prog="python -m metabench.learned.dac_scores", args=argv)
    torch.set_num_threads(1)
    if options.problem not in PROBLEMS:
        raise ArgumentError(f"problem {options.problem!r}: expected one of {', '.join(PROBLEMS)}.")
    for row in score_table(PROBLEMS[options.problem], instances=options.instances, steps=options.steps):
        sys.stdout.write(f"{row.name:<32} {row.mean:8.3f} +- {row.half_width:.3f}\n")


if __name__ == "__main__":
    sys.exit(run_program("dac_scores", main))
