"""A report: everything that run folders say, as one document of plain values for a page, figures or JSON."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from metabench.analysis.anytime import anytime_section
from metabench.analysis.card_section import card_section
from metabench.analysis.comparison import Comparison, compare
from metabench.analysis.curves import time_label
from metabench.analysis.landscape import Landscape, open_landscape
from metabench.analysis.leaderboard import leaderboard_section
from metabench.analysis.notes import comparison_notes
from metabench.analysis.provenance import provenance_section
from metabench.analysis.ranking import ranking_section
from metabench.analysis.rounding import rounded
from metabench.analysis.runs import read_folder
from metabench.analysis.summary import summary_section
from metabench.analysis.tradeoff import tradeoff_section

__all__ = ["build_report", "report_on"]


def build_report(
    runs: Sequence[Path | str] | Path | str, *, command: str | None = None, created: datetime | None = None
) -> dict[str, Any]:
    """Reads run folders and says what they show.

    Args:
        runs: folders that ``metabench search`` made.
        command: what made the report, for its last section.
        created: when; now if None.

    Returns:
        The document; numbers to six significant digits, None where there is none. Losses are regrets (or errors, where
        no optimum is known) of the incumbent on test, in score units. Its keys:

        - ``schema``, ``created``, ``command``, ``provenance``, ``cards`` (of tables and surrogates)
        - ``searchers``, ``tasks``, ``budget`` (full trainings at which all are compared), ``clock`` (what simulated
          time is, in words), ``notes``, ``gaps`` (planned runs that are not there)
        - ``leaderboard``: a row for each searcher and task
        - ``summary``: interquartile means, performance profiles and probabilities of improvement over the tasks that
          all searchers share, in units of ``tasks[..]["regret_of_median"]`` if ``scaled``; ``measure`` says of what
        - ``ranking``: mean ranks, Friedman's test, Wilcoxon-Holm p-values, cliques, mean ranks over the search
        - ``anytime``: for each task the quartiles over seeds at evaluations and simulated seconds
        - ``tradeoff``: for each task whose table is at hand the Pareto fronts and hypervolumes

    Raises:
        RunFolderError: if a path is no run folder, or no run is finished.
    """
    paths = [runs] if isinstance(runs, Path | str) else list(runs)
    return report_on(compare([read_folder(Path(path)) for path in paths]), command=command, created=created)


def report_on(comparison: Comparison, *, command: str | None = None, created: datetime | None = None) -> dict[str, Any]:
    """:func:`build_report` of runs that are read already."""
    notes = comparison_notes(comparison)
    landscapes = _landscapes(comparison, notes)
    scale, scaled = _scale(comparison, landscapes)
    if not scaled and len(comparison.common_tasks) > 1:
        notes.append("Regrets are not scaled by task, as not every benchmark's median architecture is known.")
    when = created or datetime.now(UTC)
    document = {
        "schema": 1,
        "created": when.astimezone(UTC).isoformat(timespec="seconds"),
        "command": command,
        "searchers": comparison.searchers,
        "tasks": [
            {
                "label": task.label,
                "space": task.space,
                "kind": task.kind,
                "measure": task.measure,
                "regret_of_median": landscapes[task.label].regret_of_median if task.label in landscapes else None,
            }
            for task in comparison.tasks
        ],
        "budget": comparison.budget,
        "clock": time_label(comparison.clock),
        "notes": notes,
        "gaps": [vars(gap) for gap in comparison.gaps],
        "leaderboard": leaderboard_section(comparison),
        "summary": summary_section(comparison, scale, scaled=scaled),
        "ranking": ranking_section(comparison, scale),
        "anytime": anytime_section(comparison),
        "tradeoff": tradeoff_section(comparison, landscapes),
        "cards": card_section(list(dict.fromkeys(task.space for task in comparison.tasks))),
        "provenance": provenance_section(comparison),
    }
    return rounded(document)


def _landscapes(comparison: Comparison, notes: list[str]) -> dict[str, Landscape]:
    found = {}
    for task in comparison.tasks:
        landscape = open_landscape(task)
        if isinstance(landscape, Landscape):
            found[task.label] = landscape
            missing = int(np.isnan(landscape.test_score).sum())
            if missing:
                notes.append(
                    f"{task.label}: {missing:,} of {len(landscape.codes):,} architectures have no test score; regret "
                    "is against the best of the others."
                )
        else:
            notes.append(f"No trade-offs for {task.label}: {landscape}.")
    return found


def _scale(comparison: Comparison, landscapes: dict[str, Landscape]) -> tuple[dict[str, float], bool]:
    """The unit of each task's losses: its median architecture's regret if that is known for all, else 1."""
    units = {
        task.label: landscapes[task.label].regret_of_median
        for task in comparison.tasks
        if task.measure == "regret" and task.label in landscapes
    }
    common = [task.label for task in comparison.common_tasks]
    if common and all(units.get(label, 0.0) > 0 for label in common):
        return {task.label: units.get(task.label, 1.0) for task in comparison.tasks}, True
    return {task.label: 1.0 for task in comparison.tasks}, False
