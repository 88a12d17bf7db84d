"""What a comparison of searchers says."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from metabench.analysis.statistics import Quartiles, held_curves, quartiles, regret_at

__all__ = ["CHECKPOINTS", "Incumbent", "LeaderboardRow", "SearchReport", "leaderboard", "list_incumbents"]

CHECKPOINTS = (25, 50, 100)

Runs = Mapping[tuple[str, str], Mapping[int, Sequence[Mapping[str, Any]]]]


@dataclass(frozen=True)
class LeaderboardRow:
    """One searcher on one task.

    Attributes:
        searcher: its registered name.
        task: id of the benchmark (``"cells2-v1/mnist1d-v1"``).
        evaluations: most trials that a run had.
        val_regret: number of trials -> quartiles over runs of the incumbent's validation regret (seed mean, last
            epoch). The numbers are 25, 50 and 100 as far as the budget goes, and the last one. A run that ended early
            holds its last regret.
        test_regret: the same for the test score.
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


@dataclass(frozen=True)
class Incumbent:
    """The architecture that one run ended with; regrets are None if every training of the run failed."""

    searcher: str
    task: str
    seed: int
    code: int | None
    architecture: str | None
    val_regret: float | None
    test_regret: float | None


@dataclass(frozen=True)
class SearchReport:
    """The outcome of :func:`metabench.search`.

    Attributes:
        folder: the run folder (not made by a dry run).
        plan: what ``run.json`` holds.
        rows: leaderboard, by task in the order given, then by median test regret at the end, best first.
        figures: PNG files.
        incumbents: one a run.
        notes: what a reader should know: runs that ended early, runs that failed.
        estimated_seconds: the searchers' own cost of the runs that were not finished before, on one core.
        dry_run: nothing was run or written.
    """

    folder: Path
    plan: dict[str, Any]
    rows: list[LeaderboardRow] = field(default_factory=list)
    figures: list[Path] = field(default_factory=list)
    incumbents: list[Incumbent] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    estimated_seconds: float = 0.0
    dry_run: bool = False

    def as_dict(self) -> dict[str, Any]:
        """Plain values for JSON."""
        values = asdict(self)
        values["folder"] = str(self.folder)
        values["figures"] = [str(path) for path in self.figures]
        for row in values["rows"]:
            for key in ("val_regret", "test_regret"):
                row[key] = {str(number): found._asdict() for number, found in row[key].items()}
        return values


def leaderboard(runs: Runs, trials: int) -> list[LeaderboardRow]:
    """Rows from the trials of all finished runs, ``(searcher, task) -> seed -> trials``."""
    rows = []
    for (searcher, task), by_seed in runs.items():
        finished = [run for run in by_seed.values() if run]
        if not finished:
            continue
        evaluations = max(len(run) for run in finished)
        numbers = sorted({number for number in CHECKPOINTS if number <= trials} | {trials})
        regrets: dict[str, dict[int, Quartiles]] = {}
        for key in ("val_regret", "test_regret"):
            curves = held_curves([_column(run, key) for run in finished], trials)
            regrets[key] = {number: quartiles(regret_at(curves, number)) for number in numbers}
        rows.append(
            LeaderboardRow(
                searcher=searcher,
                task=task,
                evaluations=evaluations,
                val_regret=regrets["val_regret"],
                test_regret=regrets["test_regret"],
                simulated_seconds=float(np.median([run[-1]["simulated_seconds"] for run in finished])),
                overhead_seconds=float(np.median([run[-1]["overhead_seconds"] for run in finished])),
                runs=len(finished),
            )
        )
    order = list(dict.fromkeys(row.task for row in rows))
    return sorted(rows, key=lambda row: (order.index(row.task), _last_median(row)))


def list_incumbents(runs: Runs, name: Mapping[str, Any]) -> list[Incumbent]:
    """The last incumbent of each run; ``name[task]`` gives the architecture of a code in words."""
    found = []
    for (searcher, task), by_seed in runs.items():
        for seed, run in by_seed.items():
            last = run[-1] if run else {"incumbent": None, "val_regret": None, "test_regret": None}
            code = last["incumbent"]
            words = None if code is None else name[task](code)
            found.append(Incumbent(searcher, task, seed, code, words, last["val_regret"], last["test_regret"]))
    return found


def _column(run: Sequence[Mapping[str, Any]], key: str) -> np.ndarray:
    return np.array([np.nan if trial[key] is None else trial[key] for trial in run], dtype=float)


def _last_median(row: LeaderboardRow) -> float:
    median = row.test_regret[max(row.test_regret)].median
    return np.inf if median is None else median
