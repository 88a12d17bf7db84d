"""A table of full size whose numbers are random: for timing and for tests, never for results.

Its shards and its arrays are written by the code that writes real ones.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from metabench.datasets import Task, load_task
from metabench.seeding import numpy_generator
from metabench.spaces import Space, load_space
from metabench.tables.groups import training_groups
from metabench.tables.pack import pack_rows
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS
from metabench.tables.shards import Shard, write_shard
from metabench.tables.units import row_key

__all__ = ["TASKS", "random_shard", "write_table"]

TASKS = ("annuli-v1", "letter-v1", "mnist1d-v1", "pendulum-v1", "spirals-v1")


def random_shard(space: Space, task: Task, group: tuple, seeds: int, generator: np.random.Generator) -> Shard:
    """The rows of one group of architectures, random."""
    shape = (len(group), seeds, len(task.epochs))
    return Shard(
        task=task.id,
        keys=[[row_key(a, task, space.width, seed) for seed in range(seeds)] for a in group],
        architectures=[str(a) for a in group],
        seeds=list(range(seeds)),
        epochs=list(task.epochs),
        metrics=list(TRAINING_METRICS),
        costs=list(ARCHITECTURE_METRICS),
        values=generator.random((*shape, len(TRAINING_METRICS)), dtype=np.float32),
        seconds=generator.random(shape, dtype=np.float32),
        cost=generator.random((len(group), len(ARCHITECTURE_METRICS))),
        provenance={"commit": "synthetic: random numbers, nothing was trained"},
    )


def write_table(
    home: Path, space_id: str = "cells-v1", tasks: tuple[str, ...] = TASKS, seeds: int | None = 5, leave_out: int = 0
) -> Path:
    """Writes ``home/table`` with random numbers.

    Args:
        home: the space's folder.
        space_id: the space.
        tasks: task ids or paths.
        seeds: replicates; None is each task's own number.
        leave_out: groups of architectures, counted from the end, that have no rows.

    Returns:
        The folder of the packed table.
    """
    space, chosen = load_space(space_id), [load_task(name) for name in tasks]
    groups = training_groups(space)
    for task in chosen:
        generator = numpy_generator("synthetic", task.id)
        for group in groups[: len(groups) - leave_out]:
            write_shard(home, random_shard(space, task, group, seeds or task.replicates, generator))
    return pack_rows(space, chosen, seeds, home)
