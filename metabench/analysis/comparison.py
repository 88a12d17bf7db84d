"""Brings run folders together, as far as they can be compared."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from metabench.analysis.runs import Gap, Run, RunFolder
from metabench.analysis.statistics import step_values
from metabench.errors import RunFolderError

__all__ = ["Cell", "Comparison", "Split", "Task", "compare", "final_losses", "loss_trace"]

Split = Literal["val", "test"]


@dataclass(frozen=True)
class Task:
    """One benchmark as runs saw it.

    Attributes:
        label: its id; with kind and checksum where folders have different tables of one id.
        id: ``"space/task"``.
        space: id of the space.
        kind: of the benchmark.
        table: what identifies the table.
        measure: ``"regret"``, or ``"error"`` (1 - score) where no optimum is known.
    """

    label: str
    id: str
    space: str
    kind: str
    table: Mapping[str, Any]
    measure: Literal["regret", "error"]


@dataclass(frozen=True)
class Cell:
    """One searcher on one task.

    Attributes:
        runs: finished ones.
        planned: how many there should be.
        budget: full trainings a run may spend.
    """

    runs: tuple[Run, ...]
    planned: int
    budget: int


@dataclass(frozen=True)
class Comparison:
    """Runs of one or more folders.

    Attributes:
        folders: where they come from.
        tasks: in the order given.
        searchers: names of those that have a finished run; with the folder's where two folders have the same searcher
            on the same task.
        cells: (searcher, task label) -> its runs, maybe none; here are also searchers without any.
        gaps: planned runs that are not there, under the names used here.
        budget: full trainings at which all are compared: the smallest budget of those that have runs.
        clock: rules of the simulated clock: ``sim_workers``, ``clock``, ``promotions``; None if the folders differ in
            them, so that their seconds do not mean the same.
    """

    folders: tuple[RunFolder, ...]
    tasks: tuple[Task, ...]
    searchers: tuple[str, ...]
    cells: Mapping[tuple[str, str], Cell]
    gaps: tuple[Gap, ...]
    budget: int
    clock: Mapping[str, Any] | None

    def runs(self, searcher: str, task: Task) -> tuple[Run, ...]:
        """Finished runs of a searcher on a task, maybe none."""
        cell = self.cells.get((searcher, task.label))
        return () if cell is None else cell.runs

    @property
    def common_tasks(self) -> tuple[Task, ...]:
        """Tasks on which every searcher has a finished run."""
        return tuple(task for task in self.tasks if all(self.runs(searcher, task) for searcher in self.searchers))


def loss_trace(run: Run, measure: str, split: Split) -> np.ndarray:
    """Regret or error of a run's incumbent after each trial, (trials,); NaN before any training succeeded."""
    if measure == "regret":
        return run.test_regret if split == "test" else run.val_regret
    return 1.0 - (run.test_score if split == "test" else run.val_score)


def final_losses(comparison: Comparison, searcher: str, task: Task, split: Split = "test") -> np.ndarray:
    """Losses at the common budget, (runs,); infinite where a run has no incumbent by then."""
    point = np.array([float(comparison.budget)])
    found = [
        step_values(run.evaluations, loss_trace(run, task.measure, split), point + 1e-9)[0]
        for run in comparison.runs(searcher, task)
    ]
    return np.where(np.isnan(found), np.inf, found) if found else np.empty(0)


def compare(folders: Sequence[RunFolder]) -> Comparison:
    """Brings folders together.

    Raises:
        RunFolderError: if there is no folder, or no finished run in any.
    """
    unique = tuple({folder.path.resolve(): folder for folder in folders}.values())
    if not any(folder.runs for folder in unique):
        gaps = [gap for folder in unique for gap in folder.gaps]
        why = f" The first one: {gaps[0].searcher} on {gaps[0].task}: {gaps[0].reason}." if gaps else ""
        raise RunFolderError(
            f"no finished run in {', '.join(str(folder.path) for folder in unique) or 'nothing'}.{why}"
        )
    task_names = _task_names(unique)
    searcher_names = _searcher_names(unique, task_names)
    tasks: dict[str, Task] = {}
    cells: dict[tuple[str, str], Cell] = {}
    gaps = []
    for number, folder in enumerate(unique):
        for benchmark in folder.plan["benchmarks"]:
            label = task_names[number, benchmark["id"]]
            tasks.setdefault(label, _task(label, benchmark, folder))
            for searcher in folder.plan["searchers"]:
                found = tuple(run for run in folder.runs if (run.searcher, run.task) == (searcher, benchmark["id"]))
                name = searcher_names[number, searcher]
                cells[name, label] = Cell(found, int(folder.plan["seeds"]), int(folder.plan["trials"]))
        gaps += [
            Gap(searcher_names[number, gap.searcher], task_names[number, gap.task], gap.seed, gap.reason)
            for gap in folder.gaps
        ]
    searchers = tuple(dict.fromkeys(name for (name, _), cell in cells.items() if cell.runs))
    budget = min(cell.budget for cell in cells.values() if cell.runs)
    clocks = [_clock(folder) for folder in unique]
    clock = clocks[0] if all(other == clocks[0] for other in clocks) else None
    return Comparison(unique, tuple(tasks.values()), searchers, cells, tuple(gaps), budget, clock)


def _task(label: str, benchmark: Mapping[str, Any], folder: RunFolder) -> Task:
    regrets = [run.test_regret for run in folder.runs if run.task == benchmark["id"]]
    known = benchmark.get("regret", any(np.isfinite(regret).any() for regret in regrets) or not regrets)
    return Task(
        label=label,
        id=benchmark["id"],
        space=benchmark["space"],
        kind=benchmark.get("kind", folder.plan["kind"]),
        table=benchmark.get("table", {}),
        measure="regret" if known else "error",
    )


def _task_names(folders: Sequence[RunFolder]) -> dict[tuple[int, str], str]:
    """(folder, id) -> label."""
    identities = {
        (number, benchmark["id"]): (benchmark.get("kind", folder.plan["kind"]), _short(benchmark))
        for number, folder in enumerate(folders)
        for benchmark in folder.plan["benchmarks"]
    }
    variants: dict[str, set[tuple[str, str]]] = {}
    for (_, task), identity in identities.items():
        variants.setdefault(task, set()).add(identity)
    return {
        (number, task): task if len(variants[task]) == 1 else f"{task} ({' '.join(part for part in identity if part)})"
        for (number, task), identity in identities.items()
    }


def _short(benchmark: Mapping[str, Any]) -> str:
    """What tells two benchmarks of one id apart: the table's checksum, or that of what live trainings depend on."""
    table = benchmark.get("table") or {}
    checksums = [str(value)[:8] for key, value in sorted(table.items()) if "sha256" in key]
    return " ".join(checksums) or str(benchmark.get("definition") or "")[:8]


def _searcher_names(folders: Sequence[RunFolder], tasks: Mapping[tuple[int, str], str]) -> dict[tuple[int, str], str]:
    """(folder, searcher) -> name."""
    uses = Counter(
        (searcher, tasks[number, benchmark["id"]])
        for number, folder in enumerate(folders)
        for benchmark in folder.plan["benchmarks"]
        for searcher in folder.plan["searchers"]
    )
    twice = {searcher for (searcher, _), count in uses.items() if count > 1}
    ends = Counter(folder.path.resolve().name for folder in folders)
    names = {}
    for number, folder in enumerate(folders):
        end = folder.path.resolve().name
        shown = end if ends[end] == 1 else str(folder.path)
        for searcher in folder.plan["searchers"]:
            names[number, searcher] = f"{searcher} ({shown})" if searcher in twice else searcher
    return names


def _clock(folder: RunFolder) -> dict[str, Any]:
    settings = folder.plan.get("settings") or {}
    defaults = {"sim_workers": 1, "clock": "seconds", "promotions": "continue"}
    return {key: settings.get(key, default) for key, default in defaults.items()}
