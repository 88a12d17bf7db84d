"""Where a benchmark's numbers come from: a packed table, or training now."""

from __future__ import annotations

from abc import ABC, abstractmethod

import numpy as np

from metabench.datasets.task import Task
from metabench.spaces import Space
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS
from metabench.tables.table import Table

__all__ = ["LiveSource", "Source", "TableSource"]


class Source(ABC):
    """Gives the arrays of one task.

    Attributes:
        seeds: replicates.
        arrays: results ``(architecture, seed, epoch, metric)``, seconds ``(architecture, seed, epoch)`` and costs
            ``(architecture, cost)``, float32, NaN where a cell is missing.
        means: the same with one seed, where ``"mean"`` is not the mean over the replicates; else None.
        fixed: whether the arrays never change, so that :meth:`ensure` need not be called.
        remedy: what to do about a missing cell.
    """

    seeds: tuple[int, ...]
    arrays: tuple[np.ndarray, np.ndarray, np.ndarray]
    means: tuple[np.ndarray, np.ndarray, np.ndarray] | None = None
    fixed: bool = False
    remedy: str = "finish it with 'metabench build --space {space}', or ask kind='live'"

    @abstractmethod
    def ensure(self, rows: np.ndarray, *, replicates: bool = True) -> bool:
        """Makes sure that the cells of these rows are there, if the source can; only their means if not replicates.

        Returns:
            Whether an array changed.
        """


class TableSource(Source):
    """One task of a packed table."""

    fixed = True

    def __init__(self, table: Table, task: Task) -> None:
        index = list(table.manifest["tasks"]).index(task.id)
        self.seeds = tuple(table.manifest["tasks"][task.id]["seeds"])
        count = len(self.seeds)  # tasks may differ in their replicates
        self.arrays = (table.results[index, :, :count], table.seconds[index, :, :count], table.costs[index])

    def ensure(self, rows: np.ndarray, *, replicates: bool = True) -> bool:
        """A table has what it has."""
        return False


class LiveSource(Source):
    """Trains an architecture when it is asked for, all seeds together, and remembers it for this process."""

    def __init__(self, space: Space, task: Task, seeds: tuple[int, ...] = (0, 1, 2)) -> None:
        self.seeds = seeds
        self._space, self._task = space, task
        shape = (len(space.canonical_codes), len(seeds), len(task.epochs))
        self.arrays = (
            np.full((*shape, len(TRAINING_METRICS)), np.nan, dtype=np.float32),
            np.full(shape, np.nan, dtype=np.float32),
            np.full((shape[0], len(ARCHITECTURE_METRICS)), np.nan, dtype=np.float32),
        )

    def ensure(self, rows: np.ndarray, *, replicates: bool = True) -> bool:
        """Trains the rows that have not been trained yet."""
        from metabench.tables.units import Unit, run_unit

        results, seconds, costs = self.arrays
        missing = np.unique(rows)[np.isnan(costs[np.unique(rows), 0])]
        for row in missing:
            architecture = self._space.architecture(int(self._space.canonical_codes[row]))
            answer = run_unit(Unit((architecture,), self._task, self._space.width, self.seeds))
            results[row], seconds[row], costs[row] = answer.values[0], answer.seconds[0], answer.cost[0]
        return len(missing) > 0
