"""The regret figure that a search leaves in its run folder."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from metabench.analysis.anytime import thinned
from metabench.analysis.curves import Axis, band_of_runs, time_label
from metabench.analysis.draw_curves import draw_curves
from metabench.analysis.runs import run_of_trials

__all__ = ["save_regret_figure"]

Runs = Sequence[Sequence[Mapping[str, Any]]]


def save_regret_figure(
    runs: Mapping[str, Runs], title: str, path: Path, clock: Mapping[str, Any] | None = None
) -> bool:
    """Draws test regret against evaluations (full trainings) and simulated time: median and quartiles over runs.

    Args:
        runs: searcher -> its runs, each a list of trials as :func:`metabench.searchers.loop.run_loop` gives them. A
            run in which every training failed is left out.
        title: of the figure.
        path: PNG to write.
        clock: rules of the simulated clock, ``clock`` and ``sim_workers``; None takes the defaults.

    Returns:
        Whether a figure was written: not if there is no run with an incumbent whose regret is known.
    """
    read = {
        searcher: [
            run
            for seed, trials in enumerate(found)
            if trials and np.isfinite((run := run_of_trials(searcher, title, seed, trials)).test_regret).any()
        ]
        for searcher, found in runs.items()
    }
    read = {searcher: found for searcher, found in read.items() if found}
    if not read:
        return False
    axes: tuple[Axis, ...] = ("evaluations", "seconds")
    curves = {axis: {"test": {name: _curve(found, axis) for name, found in read.items()}} for axis in axes}
    count = sorted({len(found) for found in read.values()})
    seeds = f"{count[0]}" if len(count) == 1 else f"{count[0]} to {count[-1]}"
    entry = {"task": title, "measure": "regret", "curves": curves}
    document = {"searchers": list(read), "clock": time_label(clock or {"clock": "seconds", "sim_workers": 1})}
    figure = draw_curves(entry, document, note=f"median and quartiles over {seeds} seeds")
    if figure is None:
        return False
    figure.savefig(path, metadata={"Software": None})
    return True


def _curve(runs: Sequence[Any], axis: Axis) -> dict[str, Any] | None:
    budget = max(math.floor(run.evaluations[-1] + 1e-9) for run in runs)
    return thinned(*band_of_runs(runs, max(budget, 1), axis, "regret", "test"))
