"""In words: what a reader of a comparison should know before believing it."""

from __future__ import annotations

from metabench.analysis.comparison import Comparison

__all__ = ["comparison_notes"]


def comparison_notes(comparison: Comparison) -> list[str]:
    """What is missing, what cannot be compared and why, one sentence each."""
    notes = []
    folders, tasks = comparison.folders, comparison.tasks
    if comparison.gaps:
        planned = sum(cell.planned for cell in comparison.cells.values())
        notes.append(f"{len(comparison.gaps)} of {planned} planned runs are not there; they are listed below.")
    budgets = sorted({cell.budget for cell in comparison.cells.values() if cell.runs})
    if len(budgets) > 1:
        spelled = ", ".join(f"{budget:,}" for budget in budgets)
        notes.append(f"The runs have budgets of {spelled} full trainings; all are compared at {comparison.budget:,}.")
    if len(folders) > 1 and any("(" in name for name in comparison.searchers):
        notes.append("A searcher that is in several folders is shown once for each, with the folder's name behind it.")
    if any("(" in task.label for task in tasks):
        notes.append("Folders have different tables of one benchmark; these are treated as different tasks.")
    if comparison.clock is None:
        notes.append("The folders' simulated clocks have different rules, so curves in simulated time are left out.")
    replicates = {(folder.plan.get("settings") or {}).get("replicates", "random") for folder in folders}
    if len(replicates) > 1:
        notes.append("The folders choose training replicates by different rules (random and fixed).")
    if any(task.measure == "error" for task in tasks):
        without = ", ".join(task.label for task in tasks if task.measure == "error")
        notes.append(f"No optimum is known for {without}: error (1 - score) stands in for regret there.")
    without = [name for name in dict.fromkeys(name for name, _ in comparison.cells) if name not in comparison.searchers]
    if without:
        notes.append(f"{', '.join(without)} has no finished run and is in the leaderboard only.")
    if len(comparison.common_tasks) < len(tasks):
        left = ", ".join(task.label for task in tasks if task not in comparison.common_tasks)
        notes.append(
            f"Not every searcher has a finished run on {left}; comparisons across tasks leave out what is not shared."
        )
    return notes + _notes_on_runs(comparison)


def _notes_on_runs(comparison: Comparison) -> list[str]:
    notes = []
    most = max(len(cell.runs) for cell in comparison.cells.values())
    if most == 1:
        notes.append("Each searcher has a single seed: there are no intervals, and no test can tell them apart.")
    for searcher in comparison.searchers:
        cells = {task.label: comparison.cells.get((searcher, task.label)) for task in comparison.tasks}
        runs = [(label, cell, run) for label, cell in cells.items() if cell for run in cell.runs]
        failed = [label for label, _, run in runs if run.incumbent is None]
        if failed:
            where = _names(failed, comparison)
            notes.append(
                f"{searcher}: in {len(failed)} of {len(runs)} runs ({where}) no training succeeded; they rank last "
                "and are left out of medians over seeds."
            )
        # A run stops before the training that would no longer fit, so it may end within one of its budget.
        short = [(label, run) for label, cell, run in runs if run.evaluations[-1] < cell.budget - 1]
        if short:
            fewest = min(run.evaluations[-1] for _, run in short)
            where = _names([label for label, _ in short], comparison)
            notes.append(
                f"{searcher}: {len(short)} of {len(runs)} runs ({where}) ended before their budget, the first "
                f"after {fewest:.4g} full trainings; their last incumbent is held."
            )
    if len(comparison.searchers) == 1:
        notes.append("There is one searcher only, so nothing is ranked or tested.")
    return notes


def _names(labels: list[str], comparison: Comparison) -> str:
    """The tasks among labels, each once; in short where they are all there are."""
    named = list(dict.fromkeys(labels))
    return "every task" if len(named) == len(comparison.tasks) > 1 else ", ".join(named)
