"""Blocks: pairs of task and seed on which all searchers have a run; what ranks and tests compare within."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from metabench.analysis.comparison import Comparison, Task
from metabench.analysis.curves import evaluation_grid, loss_curves
from metabench.analysis.runs import Run

__all__ = ["Block", "common_blocks", "losses_at_budget", "losses_over_evaluations", "losses_over_time"]


@dataclass(frozen=True)
class Block:
    """One task and seed.

    Attributes:
        task: the task.
        seed: number of the runs.
        runs: one for each searcher, in the comparison's order.
    """

    task: Task
    seed: int
    runs: tuple[Run, ...]


def common_blocks(comparison: Comparison) -> list[Block]:
    """All blocks, by task, then seed."""
    blocks = []
    for task in comparison.common_tasks:
        by_seed = [{run.seed: run for run in comparison.runs(searcher, task)} for searcher in comparison.searchers]
        shared = set.intersection(*(set(found) for found in by_seed))
        blocks += [Block(task, seed, tuple(found[seed] for found in by_seed)) for seed in sorted(shared)]
    return blocks


def losses_over_evaluations(blocks: Sequence[Block], budget: int) -> tuple[np.ndarray, np.ndarray]:
    """Grid of evaluations (points,) and test losses (blocks, searchers, points), infinite before an incumbent."""
    grid = evaluation_grid(budget)
    return grid, _losses(blocks, lambda block: loss_curves(block.runs, grid, "evaluations", block.task.measure, "test"))


def losses_over_time(blocks: Sequence[Block], points: int = 100) -> tuple[np.ndarray, np.ndarray]:
    """The same against simulated time, as a fraction of the median length of all runs on the block's task.

    Seconds of different tasks cannot share an axis; fractions can. They run from 1/100 to 1.
    """
    lengths: dict[str, list[float]] = {}
    for block in blocks:
        lengths.setdefault(block.task.label, []).extend(float(run.seconds[-1]) for run in block.runs)
    whole = {label: float(np.median(found)) for label, found in lengths.items()}
    grid = np.geomspace(0.01, 1.0, points)
    return grid, _losses(
        blocks,
        lambda block: loss_curves(block.runs, grid * whole[block.task.label], "seconds", block.task.measure, "test"),
    )


def losses_at_budget(blocks: Sequence[Block], budget: int, scale: Mapping[str, float]) -> np.ndarray:
    """Test losses at the common budget in units of each task's scale, (blocks, searchers).

    A run without an incumbent is worse than every other: it gets one more than the highest loss of all.
    """
    grid = np.array([float(budget)])
    losses = _losses(
        blocks,
        lambda block: (
            loss_curves(block.runs, grid, "evaluations", block.task.measure, "test") / scale[block.task.label]
        ),
    )[..., 0]
    finite = losses[np.isfinite(losses)]
    return np.where(np.isfinite(losses), losses, 1.0 + (finite.max() if finite.size else 0.0))


def _losses(blocks: Sequence[Block], curves: Callable[[Block], np.ndarray]) -> np.ndarray:
    found = np.array([curves(block) for block in blocks])
    return np.where(np.isnan(found), np.inf, found)
