"""Section of a report: average ranks over time, tests, and what a critical-difference diagram shows."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metabench.analysis.blocks import Block, common_blocks, losses_at_budget, losses_over_evaluations, losses_over_time
from metabench.analysis.comparison import Comparison
from metabench.analysis.significance import ALPHA, cliques, friedman, rank, wilcoxon_holm

__all__ = ["ranking_section"]


def ranking_section(comparison: Comparison, scale: Mapping[str, float]) -> dict[str, Any] | None:
    """Ranks and tests; None where there are not two searchers with a block in common.

    Args:
        comparison: the runs.
        scale: task label -> unit of its losses.
    """
    blocks = common_blocks(comparison)
    if len(comparison.searchers) < 2 or not blocks:
        return None
    losses = losses_at_budget(blocks, comparison.budget, scale)
    mean_ranks = rank(losses).mean(axis=0)
    overall = friedman(losses)
    p_values = wilcoxon_holm(losses)
    rejected = overall is None or overall.p_value < ALPHA
    bars = cliques(mean_ranks, p_values if rejected else np.ones_like(p_values))
    most = len(blocks) < 2
    section = {
        "blocks": len(blocks),
        "tasks": list(dict.fromkeys(block.task.label for block in blocks)),
        "left_out": _left_out(comparison, blocks),
        "alpha": ALPHA,
        "mean_ranks": mean_ranks,
        "friedman": None if overall is None else overall._asdict(),
        "friedman_rejects": rejected and not most,
        "friedman_over_tasks": _friedman_over_tasks(blocks, losses),
        "p_values": None if most else p_values,
        "smallest_p": _smallest_p(len(blocks), len(comparison.searchers)),
        "cliques": None if most else bars,
        "over_evaluations": _over(*losses_over_evaluations(blocks, comparison.budget)),
        "over_time": _over(*losses_over_time(blocks)) if comparison.clock is not None else None,
    }
    return section


def _over(grid: np.ndarray, losses: np.ndarray) -> dict[str, Any]:
    return {"x": grid, "mean_ranks": rank(np.moveaxis(losses, 1, -1)).mean(axis=0).T}


def _left_out(comparison: Comparison, blocks: Sequence[Block]) -> int:
    """Pairs of task and seed of common tasks that some searcher lacks."""
    seeds = {
        (task.label, run.seed)
        for task in comparison.common_tasks
        for searcher in comparison.searchers
        for run in comparison.runs(searcher, task)
    }
    return len(seeds) - len(blocks)


def _friedman_over_tasks(blocks: Sequence[Block], losses: np.ndarray) -> dict[str, Any] | None:
    """The test with one block a task (median over seeds): it asks whether ranks would hold on further tasks."""
    labels = [block.task.label for block in blocks]
    tasks = list(dict.fromkeys(labels))
    if len(tasks) < 3:
        return None
    medians = np.array([np.median(losses[[found == task for found in labels]], axis=0) for task in tasks])
    found = friedman(medians)
    return None if found is None else found._asdict()


def _smallest_p(blocks: int, searchers: int) -> float:
    """The least adjusted p-value that the exact signed-rank test can give for the most distinct of all pairs."""
    return min(1.0, 2.0 ** (1 - blocks) * searchers * (searchers - 1) / 2)
