"""The meta-training loop: groups advance in any number of processes, a step of Adam follows, all can be resumed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Executor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metabench.errors import ArgumentError, RunFolderError
from metabench.learned.array_file import read_arrays, write_arrays
from metabench.learned.meta_training.group import Group, advance, group_from_tree, group_tree
from metabench.learned.meta_training.recipe import Recipe
from metabench.learned.meta_training.unroll import flatten, unflatten
from metabench.learned.optimizers import Adam, State, Weights, save_weights
from metabench.machine import worker_pool
from metabench.seeding import torch_generator

__all__ = ["MetaTrainingResult", "meta_train"]


@dataclass(frozen=True)
class MetaTrainingResult:
    """What a meta-training gives.

    Attributes:
        weights: of the rule.
        curve: the meta-loss of every iteration: mean inner loss as a multiple of the first.
        seconds: wall-clock seconds of this call.
        finished: whether all iterations are done.
        folder: where the weights were written; None if nowhere.
    """

    weights: Weights
    curve: tuple[float, ...]
    seconds: float
    finished: bool
    folder: Path | None


@dataclass
class _Standing:
    vector: Tensor
    state: State
    groups: list[Group]
    curve: list[float]


@contextmanager
def _executor(workers: int, scheduler: str | None) -> Iterator[Executor | None]:
    if scheduler is not None:
        from distributed import Client

        try:
            client = Client(scheduler, timeout="10s")
        except (OSError, ValueError) as error:
            raise ArgumentError(
                f"no Dask scheduler answers at {scheduler!r}: {error}; start one, or leave it out."
            ) from error
        with client:
            yield client.get_executor(pure=False)
    elif workers == 1:
        yield None
    else:
        with worker_pool(workers, torch.set_num_threads, 1) as pool:
            try:
                yield pool
            finally:
                pool.shutdown(wait=False, cancel_futures=True)


def meta_train(
    recipe: Recipe,
    *,
    out: Path | None = None,
    workers: int = 1,
    scheduler: str | None = None,
    iterations: int | None = None,
    minutes: float | None = None,
    checkpoint_every: int = 50,
    progress: Callable[[int, float], None] | None = None,
) -> MetaTrainingResult:
    """Meta-trains a learned optimizer.

    The result does not depend on the number of processes, nor on how often it was stopped and resumed.

    Args:
        recipe: what is trained, and how.
        out: folder for the checkpoint and the weights; a later call with the same folder goes on from there.
        workers: processes on this machine.
        scheduler: address of a Dask scheduler to send the groups to instead.
        iterations: stop after so many meta-steps in all; the recipe's if left out. The schedule stays the recipe's.
        minutes: stop after so much time in this call.
        checkpoint_every: meta-steps between checkpoints.
        progress: called with the iteration (from 1) and its meta-loss.

    Raises:
        RunFolderError: if the folder has a run with other settings.
    """
    if workers < 1 or checkpoint_every < 1 or (iterations is not None and iterations < 1):
        raise ArgumentError(f"workers={workers}, iterations={iterations}: expected at least 1.")
    begun, like = time.monotonic(), recipe.rule.weights(torch_generator("rule weights", recipe.seed))
    last = recipe.iterations if iterations is None else min(iterations, recipe.iterations)
    path = None if out is None else out / "checkpoint.npz"
    now = _begin(recipe, like) if path is None or not path.is_file() else _resume(recipe, path)
    adam = Adam()
    with _executor(workers, scheduler) as executor:
        while len(now.curve) < last:
            iteration = len(now.curve)
            run: Any = map if executor is None else executor.map
            n = len(now.groups)  # lists, since Dask's map asks for lengths
            results = list(run(advance, [recipe] * n, now.groups, [now.vector] * n, [iteration] * n))
            now.groups = [result.group for result in results]
            gradient = torch.stack([result.gradient for result in results]).mean(0)
            gradient = gradient * min(1.0, recipe.clip / (float(gradient.norm()) + 1e-12))
            rate = recipe.rate * (1 + math.cos(math.pi * iteration / recipe.iterations)) / 2
            moved, now.state = adam.step(
                {"rate": torch.tensor(rate)}, {"weights": now.vector}, {"weights": gradient}, now.state
            )
            now.vector = moved["weights"]
            now.curve.append(sum(result.loss for result in results) / len(results))
            if progress is not None:
                progress(iteration + 1, now.curve[-1])
            late = minutes is not None and time.monotonic() - begun > 60 * minutes
            if path is not None and ((iteration + 1) % checkpoint_every == 0 or iteration + 1 == last or late):
                _save(recipe, path, now)
            if late:
                break
    weights, seconds = unflatten(now.vector, like), time.monotonic() - begun
    if out is not None:
        provenance = {"recipe": recipe.settings(), "iterations": len(now.curve), "final_loss": _tail(now.curve)}
        save_weights(out, recipe.rule, weights, provenance)
    return MetaTrainingResult(weights, tuple(now.curve), seconds, len(now.curve) >= recipe.iterations, out)


def _tail(curve: list[float]) -> float:
    tail = curve[-100:]
    return sum(tail) / len(tail)


def _begin(recipe: Recipe, like: Weights) -> _Standing:
    vector = flatten(like)
    return _Standing(vector, Adam().init({"weights": vector}), [Group(i) for i in range(recipe.groups)], [])


def _save(recipe: Recipe, path: Path, now: _Standing) -> None:
    trees, documents = zip(*(group_tree(group) for group in now.groups), strict=True)
    tree = {"vector": now.vector, "adam": now.state, "groups": {str(i): tree for i, tree in enumerate(trees)}}
    write_arrays(path, tree, {"recipe": recipe.settings(), "curve": now.curve, "groups": documents})


def _resume(recipe: Recipe, path: Path) -> _Standing:
    tree, document = read_arrays(path)
    if document.get("recipe") != recipe.settings():
        raise RunFolderError(f"{path}: a meta-training with other settings; give another --out, or those settings.")
    groups = [group_from_tree(tree["groups"].get(str(i), {}), d) for i, d in enumerate(document["groups"])]
    return _Standing(tree["vector"], tree["adam"], groups, list(document["curve"]))
