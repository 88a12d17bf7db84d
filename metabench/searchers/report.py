"""What a comparison of searchers says."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metabench.analysis.statistics import Quartiles, quartiles, step_values

__all__ = ["CHECKPOINTS", "Incumbent", "LeaderboardRow", "SearchReport", "leaderboard", "list_incumbents"]

CHECKPOINTS = (25, 50, 100)

_ROUNDING = 1e-9  # of evaluations, which are sums of fractions
_KEYS = {  # of a row -> of a trial's line
    "val_regret": "val_regret",
    "test_regret": "test_regret",
    "val_score": "incumbent_val_score",
    "test_score": "incumbent_test_score",
}

Runs = Mapping[tuple[str, str], Mapping[int, Sequence[Mapping[str, Any]]]]


@dataclass(frozen=True)
class LeaderboardRow:
    """One searcher on one task.

    Attributes:
        searcher: its registered name.
        task: id of the benchmark (``"cells2-v1/mnist1d-v1"``).
        evaluations: full trainings that the longest run spent, rounded up.
        val_regret: number of full trainings -> quartiles over runs of the incumbent's validation regret (seed mean,
            last epoch). The numbers are 25, 50 and 100 as far as the budget goes, and the last one. A run that ended
            early holds its last regret. All None where the optimum is not known.
        test_regret: the same for the test score.
        val_score: the same for the incumbent's validation score itself.
        test_score: the same for its test score.
        simulated_seconds: median over runs of the recorded training cost of all trials.
        overhead_seconds: median over runs of the searcher's own time.
        runs: finished runs.
    """

    searcher: str
    task: str
    evaluations: int
    val_regret: dict[int, Quartiles]
    test_regret: dict[int, Quartiles]
    simulated_seconds: float
    overhead_seconds: float
    runs: int
    val_score: dict[int, Quartiles] = field(default_factory=dict)
    test_score: dict[int, Quartiles] = field(default_factory=dict)


@dataclass(frozen=True)
class Incumbent:
    """The architecture that one run ended with.

    Regrets are None if every training of the run failed or the optimum is not known; scores only in the first case.
    """

    searcher: str
    task: str
    seed: int
    code: int | None
    architecture: str | None
    val_regret: float | None
    test_regret: float | None
    val_score: float | None = None
    test_score: float | None = None


@dataclass(frozen=True)
class SearchReport:
    """The outcome of :func:`metabench.search`.

    Attributes:
        folder: the run folder (not made by a dry run).
        plan: what ``run.json`` holds.
        rows: leaderboard, by task in the order given, then by median test regret (else score) at the end, best first.
        figures: PNG files.
        incumbents: one a run.
        notes: what a reader should know: runs that ended early, runs that failed.
        failed: runs that raised; the next call with this folder tries them again.
        estimated_seconds: the searchers' own cost of the runs that were not finished before, on one core.
        estimated_by_searcher: the same, one by one.
        dry_run: nothing was run or written.
    """

    folder: Path
    plan: dict[str, Any]
    rows: list[LeaderboardRow] = field(default_factory=list)
    figures: list[Path] = field(default_factory=list)
    incumbents: list[Incumbent] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    failed: int = 0
    estimated_seconds: float = 0.0
    estimated_by_searcher: dict[str, float] = field(default_factory=dict)
    dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self)
        values["folder"] = str(self.folder)
        values["figures"] = [str(path) for path in self.figures]
        for row in values["rows"]:
            for key in _KEYS:
                row[key] = {str(number): found._asdict() for number, found in row[key].items()}
        return values


def leaderboard(runs: Runs, trials: int) -> list[LeaderboardRow]:
    """Rows from the trials of all finished runs, ``(searcher, task) -> seed -> trials``."""
    rows = []
    for (searcher, task), by_seed in runs.items():
        finished = [run for run in by_seed.values() if run]
        if not finished:
            continue
        spent = [_column(run, "evaluations") for run in finished]
        rows.append(
            LeaderboardRow(
                searcher=searcher,
                task=task,
                evaluations=math.ceil(max(curve[-1] for curve in spent) - _ROUNDING),
                simulated_seconds=float(np.median([run[-1]["simulated_seconds"] for run in finished])),
                overhead_seconds=float(np.median([run[-1]["overhead_seconds"] for run in finished])),
                runs=len(finished),
                **{key: _at_checkpoints(finished, column, spent, trials) for key, column in _KEYS.items()},
            )
        )
    order = list(dict.fromkeys(row.task for row in rows))
    return sorted(rows, key=lambda row: (order.index(row.task), _last_median(row)))


def list_incumbents(runs: Runs, name: Mapping[str, Any]) -> list[Incumbent]:
    """The last incumbent of each run; ``name[task]`` gives the architecture of a code in words."""
    found = []
    for (searcher, task), by_seed in runs.items():
        for seed, run in by_seed.items():
            last = run[-1] if run else {}
            code = last.get("incumbent")
            words = None if code is None else name[task](code)
            found.append(Incumbent(searcher, task, seed, code, words, *map(last.get, _KEYS.values())))
    return found


def _column(run: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    return np.array([np.nan if trial[key] is None else trial[key] for trial in run], dtype=float)


def _at_checkpoints(
    runs: Sequence[Sequence[Mapping[str, Any]]], column: str, spent: Sequence[np.ndarray], trials: int
) -> dict[int, Quartiles]:
    numbers = sorted({number for number in CHECKPOINTS if number <= trials} | {trials})
    grid = np.array(numbers) + _ROUNDING
    values = np.array([step_values(x, _column(run, column), grid) for x, run in zip(spent, runs, strict=True)])
    return {number: quartiles(values[:, place]) for place, number in enumerate(numbers)}


def _last_median(row: LeaderboardRow) -> float:
    regret, score = row.test_regret[max(row.test_regret)].median, row.test_score[max(row.test_score)].median
    if regret is not None:
        return regret
    return np.inf if score is None else -score
