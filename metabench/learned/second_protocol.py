"""The benchmark's second training protocol: architectures trained by a learned optimizer instead of tuned Adam."""

from __future__ import annotations

import shlex
import sys
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import tyro

from metabench.datasets import Task, load_splits, load_task
from metabench.errors import ArgumentError, MetabenchError
from metabench.learned import load
from metabench.learned.group_training import train_by
from metabench.learned.units import measure_units
from metabench.program import KEPT, run_program
from metabench.seeding import numpy_generator
from metabench.spaces import Architecture, Space, load_tabular_space
from metabench.tables.groups import training_groups
from metabench.tables.protocols import ProtocolRows, write_protocol

__all__ = ["Agreement", "agreement", "compare_rows", "main", "sample_groups", "second_protocol"]

Group = tuple[Architecture, ...]


def sample_groups(space: Space, count: int, seed: int = 0) -> list[Group]:
    """Groups of the table's own that have ``count`` architectures of full depth together, or a few more.

    The architectures of a group share their blocks' calls: together they cost a fraction of what they cost apart.
    Groups are drawn one by one, at random among those whose blocks were drawn least often at their stages: every block
    stands about equally often at every stage.

    Args:
        space: the space.
        count: architectures; all groups if there are no more.
        seed: of the draw.
    """
    if count < 1:
        raise ArgumentError(f"sample={count}: expected at least 1.")
    left = [group for group in training_groups(space) if len(group[0].blocks) == space.stages]
    random, seen = numpy_generator("second protocol", seed), Counter[tuple[int, str]]()
    drawn: list[Group] = []
    while left and sum(map(len, drawn)) < count:
        places = [{place for a in group for place in enumerate(a.blocks)} for group in left]
        burdens = np.array([np.mean([seen[place] for place in found]) for found in places])
        chosen = int(random.choice(np.flatnonzero(burdens <= burdens.min() + 1e-9)))
        seen.update(places[chosen])
        drawn.append(left.pop(chosen))
    return drawn


@dataclass(frozen=True)
class _Work:
    name: str
    architectures: Group
    task: Task
    width: int
    seeds: int


def _measure(work: _Work) -> dict[str, Any]:
    torch.set_num_threads(1)
    values, seconds = train_by(
        load(work.name), work.architectures, work.task, load_splits(work.task), work.width, range(work.seeds)
    )
    return {"values": values.tolist(), "seconds": seconds.tolist()}


def second_protocol(
    name: str | Path,
    space: Space,
    tasks: Sequence[Task],
    groups: Sequence[Group],
    out: Path,
    *,
    seeds: int = 3,
    workers: int = 1,
) -> dict[str, ProtocolRows]:
    """Trains the groups that are not trained yet, all tasks of a group one after another; task -> rows.

    Args:
        name: a learned optimizer, or the folder of one.
        space: the space.
        tasks: the tasks.
        groups: architectures to train together.
        out: file with one JSON line a finished group and task; a second call goes on from there.
        seeds: replicates.
        workers: single-threaded processes.
    """
    if seeds < 1:
        raise ArgumentError(f"seeds={seeds}: expected at least 1.")
    key = {"sha256": load(name).manifest["sha256"], "space": space.id, "seeds": seeds}
    units = {
        _unit(task, group): _Work(str(name), group, task, space.width, seeds) for group in groups for task in tasks
    }
    found = measure_units(units, _measure, out=out, key=key, workers=workers)
    rows = {}
    for task in tasks:
        results = [found[_unit(task, group)] for group in groups]
        codes = np.array([space.code(a) for group in groups for a in group], dtype=np.int64)
        order = np.argsort(codes)
        values = np.concatenate([np.array(one["values"], dtype=np.float32) for one in results])
        seconds = np.concatenate([np.array(one["seconds"], dtype=np.float32) for one in results])
        rows[task.id] = ProtocolRows(codes[order], values[order], seconds[order])
    return rows


def _unit(task: Task, group: Group) -> str:
    return f"{task.id}|{group[0]}|{group[-1]}|{len(group)}"


class Agreement(NamedTuple):
    """How two protocols rank the same architectures.

    Attributes:
        architectures: how many both have.
        spearman: rank correlation of the last epoch's mean test scores.
        kendall: Kendall's tau-b of the same.
        lifts: lift -> mean change of rank of the architectures that have it, as a fraction of all; positive is a gain
            under the second protocol.
    """

    architectures: int
    spearman: float
    kendall: float
    lifts: dict[str, float]


def agreement(first: np.ndarray, second: np.ndarray, architectures: Sequence[Architecture]) -> Agreement:
    """Compares mean test scores ``(architectures,)`` of two protocols; NaN is a missing one, and its row is left out.

    Raises:
        ArgumentError: if fewer than two architectures have both.
    """
    from scipy import stats

    both = np.isfinite(first) & np.isfinite(second)
    first, second = first[both], second[both]
    if len(first) < 2:
        raise ArgumentError(f"{len(first)} architectures are measured by both protocols; expected at least two.")
    gain = (stats.rankdata(second) - stats.rankdata(first)) / len(first)
    lifts: dict[str, list[float]] = {}
    for change, i in zip(gain, np.flatnonzero(both).tolist(), strict=True):
        for lift in {block.partition(".")[2] for block in architectures[i].blocks}:
            lifts.setdefault(lift, []).append(float(change))
    return Agreement(
        len(first),
        float(np.asarray(stats.spearmanr(first, second))[0]),
        float(np.asarray(stats.kendalltau(first, second))[0]),
        {lift: float(np.mean(changes)) for lift, changes in sorted(lifts.items())},
    )


def compare_rows(space: Space, task: Task, rows: ProtocolRows) -> str:
    """One line on how the rows rank beside the table's own."""
    from metabench.tables import open_benchmark
    from metabench.training import METRICS

    scores = rows.results[:, :, -1, METRICS.index("test_score")].mean(1)
    line = f"{space.id}/{task.id}: {len(rows.codes)} architectures, mean test score {scores.mean():.3f} by the learned"
    try:
        adam = open_benchmark(f"{space.id}/{task.id}", kind="table").query_batch(rows.codes)[:, 0]
        found = agreement(adam, scores, [space.architecture(int(code)) for code in rows.codes])
    except MetabenchError as error:
        return f"{line}; no comparison yet: {error}"
    both = np.isfinite(adam)
    lifts = ", ".join(f"{lift} {change:+.3f}" for lift, change in found.lifts.items())
    return (
        f"{line}; of the {found.architectures} that the table has too, {scores[both].mean():.3f} by the learned and "
        f"{adam[both].mean():.3f} by Adam, Spearman {found.spearman:.3f}, Kendall {found.kendall:.3f}; mean change of "
        f"rank: {lifts}"
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
    """Architectures, or a few more: whole groups are trained."""
    seeds: int = 3
    """Replicates of each."""
    workers: int = 1
    """Single-threaded processes."""
    pack: bool = False
    """Also write the rows beside the table, in surrogates/SPACE/learned."""


def main(argv: Sequence[str] | None = None) -> None:
    """``python -m metabench.learned.second_protocol OPTIMIZER --out FILE``: the comparison on stdout."""
    options = tyro.cli(Options, prog="python -m metabench.learned.second_protocol", args=argv)
    space, tasks = load_tabular_space(options.space), {name: load_task(name) for name in options.tasks}
    groups = sample_groups(space, options.sample)
    rows = second_protocol(
        options.optimizer,
        space,
        list(tasks.values()),
        groups,
        options.out,
        seeds=options.seeds,
        workers=options.workers,
    )
    by_id = {task.id: task for task in tasks.values()}
    for name, found in rows.items():
        sys.stdout.write(compare_rows(space, by_id[name], found) + "\n")
    if options.pack:
        from metabench.tables.shards import table_home
        from metabench.tables.units import provenance as provenance_here

        factory = load(options.optimizer)
        arguments = [options.optimizer, "--space", space.id, "--tasks", *by_id, "--sample", str(options.sample)]
        provenance = {
            "optimizer": {"name": options.optimizer, "sha256": factory.manifest["sha256"]},
            "command": f"python -m metabench.learned.second_protocol {shlex.join(arguments)} --out FILE --pack",
            "builds": provenance_here(),
        }
        home = write_protocol(table_home(space.id) / "learned", space, rows, by_id, provenance)
        sys.stdout.write(f"rows: {home.parent.name}/{home.name}\n")


if __name__ == "__main__":
    sys.exit(run_program("second_protocol", main, kept=KEPT))
