"""The benchmark's second training protocol: architectures trained by a learned optimizer instead of tuned Adam."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import tyro
from torch import Tensor
from torch.nn.functional import cross_entropy

from metabench.datasets import Splits, Task, load_splits, load_task
from metabench.errors import ArgumentError, MetabenchError
from metabench.learned import load
from metabench.learned.optimizers import OptimizerFactory
from metabench.learned.units import measure_units
from metabench.seeding import numpy_generator, torch_generator
from metabench.spaces import Architecture, Space, load_tabular_space
from metabench.spaces.network import Network

__all__ = ["Agreement", "agreement", "main", "sample_codes", "second_protocol", "train_by"]

METRICS = ("train_loss", "val_score", "test_score")


def train_by(
    factory: OptimizerFactory, architecture: Architecture, task: Task, splits: Splits, width: int, seeds: Sequence[int]
) -> np.ndarray:
    """Trains an architecture with initial weights and batches of the benchmark's protocol, the optimizer aside.

    Neither a schedule nor clipping: how far to go is the learned optimizer's to say.

    Returns:
        ``(seeds, epochs, 3)``: mean training loss of the checkpoint epoch, validation and test accuracy. A replicate
        whose loss or gradient is no longer finite has inf, 0 and 0 from there on.
    """
    protocol, replicates = task.protocol, len(seeds)
    network = Network(architecture, splits.train_x.shape[1], splits.classes, width, seeds)
    parameters = list(network.parameters())
    optimizer = factory(parameters, replicated=True)
    x, y = torch.from_numpy(splits.train_x), torch.from_numpy(splits.train_y)
    orders = [torch_generator("data order", seed) for seed in seeds]
    used = len(x) // protocol.batch_size * protocol.batch_size
    values, lost = np.zeros((replicates, len(protocol.checkpoints), 3)), torch.zeros(replicates, dtype=torch.bool)
    for epoch in range(1, protocol.epochs + 1):
        order = torch.stack([torch.randperm(len(x), generator=generator) for generator in orders])[:, :used]
        losses: list[Tensor] = []
        for batch in order.split(protocol.batch_size, dim=1):
            loss = cross_entropy(network(x[batch])[0].mT, y[batch], reduction="none").mean(-1)
            optimizer.zero_grad()
            loss.sum().backward()
            lost |= ~torch.isfinite(loss.detach())
            for value in parameters:
                if value.grad is not None:
                    lost |= ~torch.isfinite(value.grad.flatten(1)).all(1)
                    value.grad[lost] = 0.0  # a lost replicate must not stop the others
            optimizer.step()
            losses.append(loss.detach())
        if epoch in protocol.checkpoints:
            row = protocol.checkpoints.index(epoch)
            mean = torch.stack(losses).mean(0)
            values[:, row, 0] = torch.where(lost, torch.inf, mean).numpy()
            for column, part in ((1, "val"), (2, "test")):
                score = _accuracy(network, getattr(splits, f"{part}_x"), getattr(splits, f"{part}_y"), replicates)
                values[:, row, column] = torch.where(lost, 0.0, score).numpy()
    return values


@torch.no_grad()
def _accuracy(network: Network, x: np.ndarray, y: np.ndarray, replicates: int, chunk: int = 1000) -> Tensor:
    hits = torch.zeros(replicates)
    for start in range(0, len(x), chunk):
        part = torch.from_numpy(x[start : start + chunk])
        logits, _ = network(part.expand(replicates, *part.shape))
        hits += (logits.argmax(-1) == torch.from_numpy(y[start : start + chunk])).sum(-1)
    return hits / len(x)


def sample_codes(space: Space, count: int, seed: int = 0) -> list[int]:
    """Distinct canonical codes, drawn without replacement, ascending; all if there are no more."""
    codes = space.canonical_codes
    if count < 1:
        raise ArgumentError(f"sample={count}: expected at least 1.")
    drawn = numpy_generator("second protocol", seed).permutation(codes)[:count]
    return sorted(int(code) for code in drawn)


@dataclass(frozen=True)
class _Work:
    name: str
    architecture: Architecture
    task: Task
    width: int
    seeds: int


def _measure(work: _Work) -> list[Any]:
    torch.set_num_threads(1)
    found = train_by(
        load(work.name), work.architecture, work.task, load_splits(work.task), work.width, range(work.seeds)
    )
    return found.tolist()


def second_protocol(
    name: str | Path,
    space: Space,
    tasks: Sequence[Task],
    codes: Sequence[int],
    out: Path,
    *,
    seeds: int = 3,
    workers: int = 1,
) -> dict[str, np.ndarray]:
    """Trains what is not trained yet; task -> ``(codes, seeds, epochs, 3)`` in the order of ``METRICS``."""
    if seeds < 1:
        raise ArgumentError(f"seeds={seeds}: expected at least 1.")
    key = {"sha256": load(name).manifest["sha256"], "space": space.id, "seeds": seeds}
    units = {
        f"{task.id}|{code}": _Work(str(name), space.architecture(code), task, space.width, seeds)
        for task in tasks
        for code in codes
    }
    found = measure_units(units, _measure, out=out, key=key, workers=workers)
    return {task.id: np.array([found[f"{task.id}|{code}"] for code in codes], dtype=float) for task in tasks}


class Agreement(NamedTuple):
    """How two protocols rank the same architectures.

    Attributes:
        spearman: rank correlation of the last epoch's mean test scores.
        kendall: Kendall's tau-b of the same.
        lifts: lift -> mean change of rank of the architectures that have it, as a fraction of all; positive is a gain
            under the learned optimizer.
    """

    spearman: float
    kendall: float
    lifts: dict[str, float]


def agreement(first: np.ndarray, second: np.ndarray, architectures: Sequence[Architecture]) -> Agreement:
    """Compares mean test scores ``(architectures,)`` of two protocols."""
    from scipy import stats

    if len(first) < 2 or not np.isfinite(first).all() or not np.isfinite(second).all():
        raise ArgumentError("a score is missing: expected at least two architectures, all measured by both protocols.")
    gain = (stats.rankdata(second) - stats.rankdata(first)) / len(first)
    lifts: dict[str, list[float]] = {}
    for change, architecture in zip(gain, architectures, strict=True):
        for lift in {block.partition(".")[2] for block in architecture.blocks}:
            lifts.setdefault(lift, []).append(float(change))
    return Agreement(
        float(np.asarray(stats.spearmanr(first, second))[0]),
        float(np.asarray(stats.kendalltau(first, second))[0]),
        {lift: float(np.mean(changes)) for lift, changes in sorted(lifts.items())},
    )


@dataclass(frozen=True)
class Options:
    """Train a sample of architectures by a learned optimizer, and compare the ranking with the table's."""

    optimizer: tyro.conf.Positional[str]
    """A shipped name, or the folder that meta-train wrote."""
    out: Path
    """File of finished trainings, one JSON line each; a second run goes on from there."""
    space: str = "cells-v1"
    """Space."""
    tasks: tuple[str, ...] = ("mnist1d-v1", "letter-v1")
    """Tasks."""
    sample: int = 300
    """Architectures."""
    seeds: int = 3
    """Replicates of each."""
    workers: int = 1
    """Single-threaded processes."""


def main(argv: Sequence[str] | None = None) -> None:
    """``python -m metabench.learned.second_protocol OPTIMIZER --out FILE``: the comparison on stdout."""
    options = tyro.cli(Options, prog="python -m metabench.learned.second_protocol", args=argv)
    space, tasks = load_tabular_space(options.space), [load_task(name) for name in options.tasks]
    codes = sample_codes(space, options.sample)
    found = second_protocol(
        options.optimizer, space, tasks, codes, options.out, seeds=options.seeds, workers=options.workers
    )
    for task in tasks:
        scores = found[task.id][:, :, -1, METRICS.index("test_score")].mean(1)
        line = f"{space.id}/{task.id}: {len(codes)} architectures, mean test score {scores.mean():.3f} by the learned"
        try:
            from metabench.tables import open_benchmark

            table = open_benchmark(f"{space.id}/{task.id}", kind="table")
            adam = table.query_batch(codes, metrics=("test_score",))[:, 0]
            result = agreement(adam, scores, [space.architecture(code) for code in codes])
        except MetabenchError as error:
            sys.stdout.write(f"{line}; no comparison: {error}\n")
            continue
        lifts = ", ".join(f"{lift} {change:+.3f}" for lift, change in result.lifts.items())
        sys.stdout.write(
            f"{line}, {adam.mean():.3f} by Adam; Spearman {result.spearman:.3f}, Kendall {result.kendall:.3f}; "
            f"mean change of rank: {lifts}\n"
        )


if __name__ == "__main__":
    main()
