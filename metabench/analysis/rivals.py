"""One searcher beside all others, task by task: where it is the best, and who ends better or worse."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metabench.analysis.aggregate import bootstrap_interval, improvement_interval, interquartile_mean
from metabench.analysis.comparison import Comparison, Task, final_losses
from metabench.analysis.rounding import rounded
from metabench.analysis.significance import holm, rank_sum
from metabench.errors import ArgumentError
from metabench.registry import did_you_mean
from metabench.seeding import numpy_generator

__all__ = ["rivals_section"]


def rivals_section(comparison: Comparison, about: Sequence[str]) -> list[dict[str, Any]]:
    """One entry for each searcher of ``about``: its place on every task, and each rival against it.

    A rival's ``probability`` is that of one of its runs to end with a lower test loss than one of the searcher's, ties
    half, with a bootstrap interval; ``p_value`` is that of the exact rank-sum test of the two samples of runs, by
    Holm's method over all rivals on the task. Losses are in score units.

    Raises:
        ArgumentError: if a searcher has no finished run.
    """
    for searcher in about:
        if searcher not in comparison.searchers:
            meant = did_you_mean(searcher, comparison.searchers)
            raise ArgumentError(
                f"no finished run of {searcher!r}.{meant} Searchers with runs: {', '.join(comparison.searchers)}."
            )
    return [
        {
            "searcher": searcher,
            "tasks": [
                _on_task(comparison, searcher, task) for task in comparison.tasks if comparison.runs(searcher, task)
            ],
        }
        for searcher in about
    ]


def _on_task(comparison: Comparison, searcher: str, task: Task) -> dict[str, Any]:
    losses = {name: final_losses(comparison, name, task) for name in comparison.searchers}
    losses = {name: found for name, found in losses.items() if len(found)}
    means = {name: float(interquartile_mean(found)) for name, found in losses.items()}
    own = losses[searcher]
    others = [name for name in losses if name != searcher]
    p_values = holm(np.array([rank_sum(losses[name], own) for name in others]))
    rivals = []
    for name, p_value in zip(others, p_values, strict=True):
        generator = numpy_generator("rival", name, searcher, task.label)
        found = improvement_interval([losses[name]], [own], generator)
        rivals.append(
            {"searcher": name, "probability": found._asdict(), "p_value": float(p_value), "mean": means[name]}
        )
    interval = bootstrap_interval([own], interquartile_mean, numpy_generator("row", searcher, task.label))
    return rounded(
        {
            "task": task.label,
            "measure": task.measure,
            "mean": interval._asdict(),
            "place": 1 + sum(means[name] < means[searcher] for name in others),
            "searchers": len(losses),
            "rivals": sorted(rivals, key=lambda rival: rival["mean"]),
        }
    )
