"""``metabench meta-train``: meta-trains a learned optimizer, or MAML and its kin on a few-shot task."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from metabench.cli.output import Column, print_json, print_table, short_path, show_progress
from metabench.cli.parse import optional
from metabench.errors import ArgumentError

if TYPE_CHECKING:
    from metabench.learned.adaptation.train import Score
    from metabench.problems.few_shot import FewShotTask

__all__ = ["Options", "run"]

_LICENCE = "Apache-2.0"  # of shipped weights: the package's


@dataclass(frozen=True)
class Options:
    """Meta-train a learned optimizer, or MAML and its kin. Stop it at any time: the same command goes on."""

    name: Annotated[tyro.conf.Positional[str], optional("NAME")] = ""
    """A learned optimizer (mlp-v1, lstm-v1, lstm-quadratic), or a meta-learner (maml, anil, meta-sgd, reptile)."""
    task: Annotated[str | None, optional("TASK")] = None
    """The few-shot task of a meta-learner, for example sinusoid-v1."""
    out: Annotated[Path | None, optional("DIR")] = None
    """The run folder; runs/meta-train/NAME if left out."""
    iterations: Annotated[int | None, optional("N")] = None
    """Meta-steps; the recipe's or the task's if left out."""
    minutes: Annotated[float | None, optional("MINUTES")] = None
    """Stop a learned optimizer's training after so long; the same command goes on."""
    workers: Annotated[int, tyro.conf.arg(metavar="N")] = 1
    """Processes on this machine, for a learned optimizer."""
    scheduler: Annotated[str | None, optional("ADDRESS")] = None
    """A Dask scheduler to send a learned optimizer's groups to instead, as tcp://host:port."""
    support: Annotated[int | None, optional("K")] = None
    """Samples that a few-shot problem shows, and as many are asked for in meta-training; the task's if left out."""
    inner_steps: Annotated[int | None, optional("N")] = None
    """Inner steps in meta-training; the task's if left out."""
    first_order: bool = False
    """Leave out the derivative of the inner gradients."""
    seed: Annotated[int, tyro.conf.arg(metavar="N")] = 0
    """Decides the first weights, the problems and the noise."""
    ship: bool = False
    """Also write a learned optimizer's weights where shipped ones are."""
    json: bool = False
    """Print one JSON document."""


def run(options: Options) -> None:
    """Meta-trains, and prints what came of it."""
    from metabench.learned.adaptation.train import LEARNERS
    from metabench.learned.meta_training import RECIPES

    for name, count in (("iterations", options.iterations), ("workers", options.workers), ("support", options.support)):
        if count is not None and count < 1:
            raise ArgumentError(f"--{name} {count}: expected at least 1.")
    if not options.name:
        raise ArgumentError(f"name what to train: {', '.join((*RECIPES, *LEARNERS.names()))}.")
    if options.name in RECIPES:
        _train_optimizer(options)
    elif options.name in LEARNERS:
        _train_learner(options)
    else:
        from metabench.errors import UnknownNameError
        from metabench.registry import did_you_mean

        known = (*RECIPES, *LEARNERS.names())
        meant = did_you_mean(options.name, known)
        raise UnknownNameError(f"unknown name {options.name!r}.{meant} Known: {', '.join(known)}.")


def _train_optimizer(options: Options) -> None:
    from dataclasses import replace

    import torch

    from metabench.learned.meta_training import find_recipe, meta_train
    from metabench.learned.optimizers import save_weights
    from metabench.learned.optimizers.weight_file import shipped_folder

    if options.task is not None or options.support is not None or options.inner_steps is not None:
        raise ArgumentError(
            f"{options.name} has a recipe of its own; --task, --support and --inner-steps do not apply."
        )
    torch.set_num_threads(1)
    plan = replace(find_recipe(options.name), seed=options.seed)
    folder = options.out or Path("runs") / "meta-train" / options.name
    last = plan.iterations if options.iterations is None else options.iterations
    with _Progress(options.name, last) as show:
        result = meta_train(
            plan,
            out=folder,
            workers=options.workers,
            scheduler=options.scheduler,
            iterations=options.iterations,
            minutes=options.minutes,
            progress=show,
        )
    placed = [folder]
    if options.ship:
        from metabench import __version__
        from metabench.learned import load

        made = load(folder)
        command = f"metabench meta-train {plan.name} --seed {plan.seed} --ship"
        about = made.manifest["provenance"] | {"command": command, "licence": _LICENCE, "version": __version__}
        placed.append(save_weights(shipped_folder() / plan.name, made.rule, made.weights, about))
    tenth = max(1, len(result.curve) // 10)
    means = [sum(part) / len(part) for part in _parts(result.curve, tenth)]
    if options.json:
        print_json({"name": plan.name, "folders": placed, "iterations": len(result.curve), "curve": result.curve})
        return
    print(f"{plan.name}: {len(result.curve):,} of {plan.iterations:,} meta-steps, {result.seconds:.0f} s in this call.")
    unit = "logarithm of the loss" if plan.logarithm else "loss"
    numbers = " ".join(f"{mean:.3f}" for mean in means)
    print(f"meta-loss, {unit} as a multiple of the first, means of a tenth: {numbers}")
    for place in placed:
        print(f"weights: {short_path(place)}")
    if not result.finished:
        print("Not finished: the same command goes on from here.")


def _parts(curve: tuple[float, ...], size: int) -> list[tuple[float, ...]]:
    return [curve[start : start + size] for start in range(0, len(curve), size)]


def _train_learner(options: Options) -> None:
    import torch

    from metabench.learned.adaptation.train import few_shot_scores, make_learner, meta_train_few_shot
    from metabench.problems.few_shot import load_few_shot

    if options.task is None:
        raise ArgumentError(f"{options.name} needs a few-shot task, as in: --task sinusoid-v1.")
    if options.ship or options.scheduler is not None or options.workers != 1 or options.minutes is not None:
        raise ArgumentError(
            f"{options.name} runs in one process; --workers, --scheduler, --minutes, --ship do not apply."
        )
    torch.set_num_threads(1)
    task = _adjusted(load_few_shot(options.task), options)
    learner = make_learner(options.name, task, first_order=options.first_order)
    folder = options.out or Path("runs") / "meta-train" / f"{options.name}-{task.id}-{task.protocol.support}"
    last = task.protocol.iterations if options.iterations is None else options.iterations
    with _Progress(options.name, last) as show:
        loss, meta = meta_train_few_shot(
            task, learner, seed=options.seed, iterations=options.iterations, out=folder, progress=show
        )
    scores = few_shot_scores(task, learner, loss, meta, seed=options.seed)
    if options.json:
        print_json({"name": options.name, "task": task.id, "support": task.protocol.support, "scores": scores})
        return
    unit = {"mse": "mean squared error", "accuracy": "accuracy"}[task.metric]
    print_table(
        f"{options.name} on {task.id}, {task.protocol.support} shown, after {last:,} meta-steps",
        [Column("inner steps"), Column(unit), Column("+- (95 %)"), Column("problems")],
        [(str(s.steps), *_mean(s), str(s.problems)) for s in scores],
        caption=f"Problems of the held-out split. Checkpoint: {short_path(folder)}",
    )


def _mean(score: Score) -> tuple[str, str]:
    finite = math.isfinite(score.mean)
    return (f"{score.mean:.3f}", f"{score.half_width:.3f}") if finite else ("diverged", "-")


def _adjusted(task: FewShotTask, options: Options) -> FewShotTask:
    from dataclasses import replace

    changes: dict[str, int] = {}
    if options.support is not None:
        changes |= {"support": options.support, "query": options.support}
    if options.inner_steps is not None:
        changes["inner_steps"] = options.inner_steps
    return replace(task, protocol=replace(task.protocol, **changes))


class _Progress:
    """A bar on stderr, if that is a terminal."""

    def __init__(self, name: str, total: int) -> None:
        self.name, self.total, self.bar, self.task = name, total, None, None

    def __enter__(self) -> Callable[[int, float], None]:
        if show_progress():
            from rich.console import Console
            from rich.progress import Progress

            self.bar = Progress(console=Console(stderr=True))
            self.bar.start()
            self.task = self.bar.add_task(self.name, total=self.total)
        return self._show

    def _show(self, iteration: int, loss: float) -> None:
        if self.bar is not None and self.task is not None:
            self.bar.update(self.task, completed=iteration, description=f"{self.name} loss {loss:.3f}")

    def __exit__(self, *error: object) -> None:
        if self.bar is not None:
            self.bar.stop()
