"""What other tasks of a space's table say, for searchers that learn across tasks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from metabench.errors import ArgumentError
from metabench.tables.replicates import replicate_mean
from metabench.tables.result import TRAINING_METRICS
from metabench.tables.table import find_table, open_table

if TYPE_CHECKING:
    from metabench.tables import Benchmark

__all__ = ["scores_on_other_tasks"]


def scores_on_other_tasks(benchmark: Benchmark, searcher: str) -> dict[str, np.ndarray]:
    """Seed-mean validation scores at the last epoch, of all tasks in the space's table but the benchmark's own.

    Args:
        benchmark: what will be searched; of any kind.
        searcher: registered name, for messages.

    Returns:
        Task -> ``(n_architectures,)`` in the order of the canonical codes, NaN where no replicate has a score.

    Raises:
        TableError: if the space has no table.
        ArgumentError: if the table has no other task, or other architectures.
    """
    space = benchmark.space_definition
    table = open_table(find_table(space.id))
    same = tuple(table.manifest["blocks"]) == tuple(space.blocks)
    if not same or table.results.shape[1] != len(space.canonical_codes):
        raise ArgumentError(
            f"{searcher}: the table of {space.id!r} has other architectures than this space; build it again."
        )
    own = getattr(benchmark.task, "id", None)
    column = TRAINING_METRICS.index("val_score")
    found = {
        task: replicate_mean(np.array(table.results[index, :, :, len(about["epochs"]) - 1, column], dtype=float).T)
        for index, (task, about) in enumerate(table.manifest["tasks"].items())
        if task != own
    }
    found = {task: scores for task, scores in found.items() if np.isfinite(scores).any()}
    if not found:
        raise ArgumentError(
            f"{searcher} learns from other tasks of space {space.id!r}, but its table has only {own}; leave it out, or "
            f"build more tasks with 'metabench build --space {space.id}'."
        )
    return found
