"""Section of a report: Pareto fronts of test score against cost, and the hypervolume that searchers reach."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from metabench.analysis.comparison import Comparison, Task
from metabench.analysis.landscape import COSTS, Landscape
from metabench.analysis.pareto import hypervolume, pareto_front
from metabench.analysis.runs import Run
from metabench.analysis.statistics import quartiles

__all__ = ["found_front", "tradeoff_section"]

_CLOUD = 500


def tradeoff_section(comparison: Comparison, landscapes: Mapping[str, Landscape]) -> list[dict[str, Any]]:
    """For each task with a known landscape and each cost: all architectures, the true front, and what was found."""
    return [
        {
            "task": task.label,
            "architectures": int(np.isfinite(landscapes[task.label].test_score).sum()),
            "panels": [_panel(comparison, task, landscapes[task.label], cost) for cost in COSTS],
        }
        for task in comparison.tasks
        if task.label in landscapes
    ]


def found_front(run: Run, landscape: Landscape, cost: str) -> np.ndarray:
    """Rows of the landscape that a run would hand on: the front of cost and its own observed validation scores.

    Like an incumbent it is chosen on validation, so on test it need not be a front. An architecture observed more than
    once counts with its best score.
    """
    seen = np.isfinite(run.observed)
    rows, first = np.unique(np.searchsorted(landscape.codes, run.codes[seen]), return_inverse=True)
    best = np.full(len(rows), -np.inf)
    np.maximum.at(best, first, run.observed[seen])
    return rows[pareto_front(landscape.costs[cost][rows], best)]


def _panel(comparison: Comparison, task: Task, landscape: Landscape, cost: str) -> dict[str, Any]:
    costs, scores = landscape.costs[cost], landscape.test_score
    known = np.isfinite(costs) & np.isfinite(scores)
    reference = (float(costs[known].max()), float(scores[known].min()))
    whole = hypervolume(costs, scores, reference)
    found = []
    for searcher in comparison.searchers:
        runs = comparison.runs(searcher, task)
        fronts = [found_front(run, landscape, cost) for run in runs]
        shares = [hypervolume(costs[rows], scores[rows], reference) / whole if whole > 0 else np.nan for rows in fronts]
        found.append(
            {
                "share": quartiles(np.array(shares, dtype=float))._asdict(),
                "incumbents": _incumbents(runs, landscape, cost),
            }
        )
    return {
        "cost": cost,
        "reference": {"cost": reference[0], "score": reference[1]},
        "hypervolume": whole,
        "cloud": _cloud(costs, scores, known),
        "front": [
            {"name": landscape.names[row], "cost": costs[row], "score": scores[row]}
            for row in pareto_front(costs, scores)
        ],
        "searchers": found,
    }


def _incumbents(runs: Sequence[Run], landscape: Landscape, cost: str) -> list[dict[str, Any]]:
    """The architectures that the runs ended with, and how many runs did."""
    last = Counter(run.incumbent for run in runs if run.incumbent is not None)
    found = []
    for code, count in sorted(last.items()):
        row = int(np.searchsorted(landscape.codes, code))
        point = {"name": landscape.names[row], "cost": landscape.costs[cost][row], "score": landscape.test_score[row]}
        found.append({**point, "runs": count})
    return found


def _cloud(costs: np.ndarray, scores: np.ndarray, known: np.ndarray) -> list[list[float]]:
    """Points for the background, evenly thinned in order of code where there are many."""
    rows = np.flatnonzero(known)
    rows = rows[np.unique(np.linspace(0, len(rows) - 1, min(_CLOUD, len(rows))).round().astype(int))]
    return [[float(costs[row]), float(scores[row])] for row in rows]
