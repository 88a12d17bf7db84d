"""All figures of a report as PNG and PDF, for papers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from metabench.analysis.draw_curves import draw_curves, draw_curves_of_tasks
from metabench.analysis.draw_fronts import draw_fronts
from metabench.analysis.draw_heat_map import draw_heat_map
from metabench.analysis.draw_ranks import draw_critical_difference, draw_rank_curves
from metabench.analysis.draw_summary import draw_improvement, draw_means, draw_profiles
from metabench.analysis.drawing import save

__all__ = ["draw_study", "save_figures"]


def save_figures(document: dict[str, Any], folder: Path) -> list[Path]:
    """Draws what a report's document holds; what it lacks (ranks of one searcher, say) has no figure.

    Args:
        document: of :func:`metabench.analysis.report.build_report`.
        folder: made if it is not there.

    Returns:
        The files written.
    """
    figures = {f"regret--{_stem(entry['task'])}": draw_curves(entry, document) for entry in document["anytime"]}
    several = len(document["searchers"]) > 1
    if document["ranking"]:
        figures["mean-ranks"] = draw_rank_curves(document)
        figures["critical-difference"] = draw_critical_difference(document)
    if document["summary"] and several:
        figures["interquartile-mean"] = draw_means(document)
        figures["performance-profile"] = draw_profiles(document)
        figures["probability-of-improvement"] = draw_improvement(document)
    if len(document["tasks"]) > 1 and several:
        figures["heat-map"] = draw_heat_map(document)
    figures |= {f"trade-off--{_stem(entry['task'])}": draw_fronts(entry, document) for entry in document["tradeoff"]}
    return [path for stem, figure in figures.items() if figure is not None for path in save(figure, folder, stem)]


def draw_study(document: dict[str, Any], folder: Path) -> list[Path]:
    """The few figures that a study's page shows, as PNG only; returns the files.

    Args:
        document: as in :func:`save_figures`.
        folder: made if it is not there.
    """
    several = len(document["searchers"]) > 1
    one_task = len(document["anytime"]) == 1
    curves = draw_curves(document["anytime"][0], document) if one_task else draw_curves_of_tasks(document)
    figures = {"regret": curves}
    if document["ranking"]:
        figures |= {"critical-difference": draw_critical_difference(document), "mean-ranks": draw_rank_curves(document)}
    if document["summary"] and several:
        figures |= {
            "interquartile-mean": draw_means(document),
            "probability-of-improvement": draw_improvement(document),
        }
    drawn = {stem: figure for stem, figure in figures.items() if figure is not None}
    return [path for stem, figure in drawn.items() for path in save(figure, folder, stem, for_print=False)]


def _stem(task: str) -> str:
    return re.sub(r"[^\w.-]+", "-", task.replace("/", "--")).strip("-")
