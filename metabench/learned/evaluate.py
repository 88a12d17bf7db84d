"""Judges a learned optimizer on held-out problems, against SGD, momentum, RMSprop and Adam at the best of 14 rates."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import tyro
from torch.func import vmap

from metabench.errors import ArgumentError
from metabench.learned import load
from metabench.learned.comparison import Comparison, best_setting, compare
from metabench.learned.optimizers import SGD, Adam, Momentum, RMSprop, UpdateRule, Weights
from metabench.learned.units import measure_units
from metabench.problems import Problem, held_out_problems, shifted_problems, validation_problems
from metabench.program import KEPT, run_program
from metabench.seeding import derive

__all__ = ["PROBLEMS", "RATES", "RIVALS", "STEPS", "Curves", "compare_all", "evaluate", "main", "train_with"]

STEPS = (100, 300, 620)
"""Inner steps after which optimizers are compared; 620 are the benchmark's protocol."""
RATES = tuple(float(rate) for rate in np.logspace(-4, 0.5, 14))
"""Learning rates of the hand-made optimizers: 14, log-spaced from 1e-4 to 3.2."""
RIVALS: dict[str, UpdateRule] = {"sgd": SGD(), "momentum": Momentum(), "rmsprop": RMSprop(), "adam": Adam()}

_METRICS = ("train_loss", "val_score")
PROBLEMS = {"held-out": held_out_problems, "validation": validation_problems, "shifted": shifted_problems}
"""What ``--on`` may name: where it is judged, what recipes are chosen by, and where it may fail."""
Curves = dict[str, dict[str, np.ndarray]]
"""Optimizer -> metric -> ``(settings, seeds, steps)``."""


def train_with(
    rule: UpdateRule,
    settings: Sequence[Weights],
    problem: Problem,
    seeds: Sequence[int],
    steps: Sequence[int],
    *,
    give_up: int | None = None,
) -> dict[str, np.ndarray]:
    """Trains every seed by every setting of a rule, all in one batch.

    Args:
        rule: the update rule.
        settings: its weights, one set each.
        problem: what is trained; a seed decides the instance and the order of its data.
        seeds: of the instances.
        steps: inner steps after which to measure, ascending.
        give_up: after so many steps, leave settings whose mean loss is not below that of the initial parameters.

    Returns:
        ``train_loss`` (without the noise of a batch) and ``val_score`` (NaN if the problem has none), each
        ``(settings, seeds, steps)``. A run that is no longer finite stays so; one that was left has NaN.
    """
    if not settings or not seeds or not _ascending(steps):
        raise ArgumentError(f"seeds={list(seeds)}, steps={list(steps)}: expected some, steps ascending from 1 on.")
    several = list(seeds) * len(settings)
    weights = {
        name: torch.stack([one[name] for one in settings]).repeat_interleave(len(seeds), dim=0) for name in settings[0]
    }
    parameters = problem.sample(several)
    state, alive = vmap(rule.init)(parameters), np.arange(len(several))
    first = problem.full_loss(parameters, several)
    found = {metric: np.full((len(steps), len(several)), np.nan) for metric in _METRICS}
    for step in range(steps[-1]):
        if step == give_up:
            now = problem.full_loss(parameters, several).reshape(len(settings), -1).mean(1)
            falls = now < first.reshape(len(settings), -1).mean(1)  # false for NaN
            kept = falls.repeat_interleave(len(seeds)).nonzero().flatten()
            if not len(kept):
                break
            alive, several = kept.numpy(), [several[i] for i in kept.tolist()]
            weights, parameters = ({k: v[kept] for k, v in tensors.items()} for tensors in (weights, parameters))
            state = {name: {k: v[kept] for k, v in memory.items()} for name, memory in state.items()}
        leaves = {name: value.detach().requires_grad_() for name, value in parameters.items()}
        loss = problem.loss(leaves, problem.batch(several, step))
        slopes = torch.autograd.grad(loss.sum(), list(leaves.values()))
        grads = dict(zip(leaves, slopes, strict=True))
        with torch.no_grad():
            parameters, state = vmap(rule.step)(weights, parameters, grads, state)
            if step + 1 in steps:
                place = list(steps).index(step + 1)
                found["train_loss"][place, alive] = problem.full_loss(parameters, several).numpy()
                score = problem.score(parameters)
                if score is not None:
                    found["val_score"][place, alive] = score.numpy()
    shape = (len(steps), len(settings), len(seeds))
    return {metric: values.reshape(shape).transpose(1, 2, 0) for metric, values in found.items()}


def _ascending(steps: Sequence[int]) -> bool:
    return bool(steps) and steps[0] >= 1 and list(steps) == sorted({*steps})


_GIVE_UP = 50  # steps after which a rate that has made nothing better is left


@dataclass(frozen=True)
class _Work:
    problem: Problem
    rule: UpdateRule
    settings: tuple[Weights, ...]
    seeds: int
    steps: tuple[int, ...]
    give_up: int | None = None


def _measure(work: _Work) -> dict[str, Any]:
    """One problem, one optimizer, all its settings."""
    torch.set_num_threads(1)
    numbers = [derive("evaluation", i) for i in range(work.seeds)]
    curves = train_with(work.rule, work.settings, work.problem, numbers, work.steps, give_up=work.give_up)
    return {metric: values.tolist() for metric, values in curves.items()}


def evaluate(
    name: str | Path,
    out: Path,
    *,
    problems: Sequence[Problem] | None = None,
    seeds: int = 3,
    steps: tuple[int, ...] = STEPS,
    workers: int = 1,
) -> dict[str, Curves]:
    """Measures what is not measured yet, and returns everything.

    Args:
        name: a learned optimizer, or the folder of one.
        out: folder with one JSON line a finished problem, hand-made optimizers in a file of their own that all learned
            ones share; a second call goes on from there.
        problems: the held-out ones if left out.
        seeds: instances of each problem.
        steps: inner steps after which to measure.
        workers: single-threaded processes.

    Returns:
        Problem -> optimizer -> metric -> ``(settings, seeds, steps)``; the learned one has one setting.
    """
    if seeds < 1 or not _ascending(steps):
        raise ArgumentError(
            f"seeds={seeds}, steps={list(steps)}: expected a seed or more, and steps ascending from 1 on."
        )
    factory = load(name)
    chosen = held_out_problems() if problems is None else tuple(problems)
    key: dict[str, Any] = {"seeds": seeds, "steps": list(steps)}
    digest = factory.manifest["sha256"]
    mine = {f"{p.name}|learned": _Work(p, factory.rule, (factory.weights,), seeds, steps) for p in chosen}
    found = measure_units(
        mine, _measure, out=out / f"{digest[:12]}.jsonl", key=key | {"sha256": digest}, workers=workers
    )
    rates = tuple({"rate": torch.tensor(rate)} for rate in RATES)
    theirs = {
        f"{p.name}|{name}": _Work(p, rule, rates, seeds, steps, give_up=_GIVE_UP)
        for name, rule in reversed(RIVALS.items())  # Adam first: what matters most is known first
        for p in chosen
    }
    found |= measure_units(
        theirs,
        _measure,
        out=out / "rivals.jsonl",
        key=key | {"rates": len(RATES), "give_up": _GIVE_UP},
        workers=workers,
    )
    return {
        problem.name: {
            name: {m: np.array(v, dtype=float) for m, v in found[f"{problem.name}|{name}"].items()}
            for name in ("learned", *RIVALS)
        }
        for problem in chosen
    }


def compare_all(results: dict[str, Curves], steps: Sequence[int] = STEPS) -> tuple[Comparison, ...]:
    """The learned optimizer against every rival, metric by metric and step by step, over all problems."""
    found: list[Comparison] = []
    for metric in _METRICS:
        mine = np.stack([best_setting(curves["learned"][metric], metric) for curves in results.values()])
        for rival in RIVALS:
            theirs = np.stack([best_setting(curves[rival][metric], metric) for curves in results.values()])
            found += compare(mine, theirs, name=rival, metric=metric, steps=steps)
    return tuple(found)


def table(comparisons: Sequence[Comparison]) -> str:
    """The comparisons as text, one a line."""
    lines = [f"{'rival':<10}{'metric':<12}{'steps':>6}{'wins':>12}{'95 % interval':>18}{'difference':>12}{'+-':>9}"]
    lines += [
        f"{c.rival:<10}{c.metric:<12}{c.step:>6}{c.wins:>7g} of {c.problems:<2}"
        f"{f'{c.interval[0]:.2f} to {c.interval[1]:.2f}':>17}{c.difference:>12.3f}{c.half_width:>9.3f}"
        for c in comparisons
    ]
    return "\n".join(lines)


@dataclass(frozen=True)
class Options:
    """Compare a learned optimizer with SGD, momentum, RMSprop and Adam at their best rates on held-out problems."""

    optimizer: tyro.conf.Positional[str]
    """A shipped name, or the folder that meta-train wrote."""
    out: Path
    """Folder of finished problems, one JSON line each; a second run goes on from there."""
    on: Literal["held-out", "validation", "shifted"] = "held-out"
    """Problems: the held-out ones, those that recipes are chosen by, or other widths, where it may fail."""
    seeds: int = 3
    """Instances of each problem."""
    steps: tuple[int, ...] = STEPS
    """Inner steps after which to compare; give more to see longer horizons."""
    workers: int = 1
    """Single-threaded processes."""
    card: Path | None = None
    """Folder to write the comparisons to as well: card.json, figures and every problem's numbers."""


def main(argv: Sequence[str] | None = None) -> None:
    """``python -m metabench.learned.evaluate OPTIMIZER --out FILE``: the table on stdout, progress on stderr."""
    options = tyro.cli(Options, prog="python -m metabench.learned.evaluate", args=argv)
    results = evaluate(
        options.optimizer,
        options.out,
        problems=PROBLEMS[options.on](),
        seeds=options.seeds,
        steps=options.steps,
        workers=options.workers,
    )
    comparisons = compare_all(results, options.steps)
    sys.stdout.write(table(comparisons) + "\n")
    if options.card is not None:
        from metabench.learned.card import write_card

        arguments = [options.optimizer, "--on", options.on, "--seeds", str(options.seeds), "--steps"]
        arguments += map(str, options.steps)
        command = f"python -m metabench.learned.evaluate {' '.join(arguments)} --out DIR --card DIR"
        write_card(options.card, options.optimizer, results, comparisons, options.steps, command, options.on)


if __name__ == "__main__":
    sys.exit(run_program("evaluate", main, kept=KEPT))
