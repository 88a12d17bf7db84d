"""The card of a learned optimizer: its comparisons with hand-made ones, as JSON and as figures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from metabench.analysis.drawing import PALETTE, new_figure, save, style
from metabench.files import replace_file
from metabench.learned import load
from metabench.learned.comparison import Comparison, best_setting

__all__ = ["draw_problems", "write_card"]

Curves = dict[str, dict[str, np.ndarray]]
_METRICS = ("train_loss", "val_score")


def _best(curves: Curves) -> dict[str, dict[str, list[float]]]:
    """Metric -> optimizer -> the best mean over seeds at each step."""
    return {m: {name: best_setting(found[m], m).tolist() for name, found in curves.items()} for m in _METRICS}


def write_card(
    home: Path,
    name: str,
    results: dict[str, Curves],
    comparisons: Sequence[Comparison],
    steps: Sequence[int],
    command: str,
    shifted: bool = False,
) -> list[Path]:
    """Writes ``card.json`` (``card-shifted.json`` for other widths) and a figure a metric.

    Args:
        home: the folder; made if needed.
        name: of the optimizer.
        results: problem -> optimizer -> metric -> ``(settings, seeds, steps)``.
        comparisons: over all problems.
        steps: what the last axis is.
        command: that measured them.
        shifted: whether these are the problems where it may fail.

    Returns:
        The files.
    """
    home.mkdir(parents=True, exist_ok=True)
    manifest, end = load(name).manifest, "-shifted" if shifted else ""
    card = {
        "optimizer": str(name),
        "sha256": manifest["sha256"],
        "command": command,
        "steps": list(steps),
        "comparisons": [asdict(comparison) for comparison in comparisons],
        "problems": {problem: _best(curves) for problem, curves in results.items()},
    }
    path = home / f"card{end}.json"
    replace_file(path, json.dumps(_plain(card), indent=1) + "\n")
    made = [path]
    for metric in _METRICS:
        made += save(draw_problems(results, metric, steps), home / "figures", f"{metric}{end}")
    return made


def _plain(value: Any) -> Any:
    """Numbers that JSON does not know become null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def draw_problems(results: dict[str, Curves], metric: str, steps: Sequence[int], rival: str = "adam") -> Any:
    """A row a problem: the learned optimizer beside ``rival`` at its best rate for that problem and step.

    Left of zero is better for a loss, right of it for a score.
    """
    figure = new_figure(6.4, 1.2 + 0.24 * len(results))
    axes = figure.subplots()
    for column, step in enumerate(steps):
        gaps = []
        for curves in results.values():
            mine, theirs = (best_setting(curves[who][metric], metric)[column] for who in ("learned", rival))
            gaps.append(math.log(mine / theirs) if metric == "train_loss" else 100 * (mine - theirs))
        rows = np.arange(len(results)) + 0.22 * (column - (len(steps) - 1) / 2)
        axes.plot(gaps, rows, "osD^v"[column % 5], color=PALETTE[column], markersize=4.5, label=f"{step} steps")
    axes.axvline(0.0, color="#555555", linewidth=1.0)
    axes.set_yticks(np.arange(len(results)), list(results), fontsize=8)
    axes.invert_yaxis()
    style(axes)
    axes.tick_params(axis="y", labelsize=8)
    better = "left" if metric == "train_loss" else "right"
    what = "ln(training loss / that of" if metric == "train_loss" else "validation accuracy, points above"
    end = ")" if metric == "train_loss" else ""
    axes.set_xlabel(f"{what} {rival} at its best rate{end}; {better} is better", fontsize=9)
    figure.legend(loc="outside upper right", ncols=len(steps), frameon=False, fontsize=9)
    return figure
