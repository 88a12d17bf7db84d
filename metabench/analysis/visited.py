"""Which architectures searchers have trained, from their run folders."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metabench.errors import ArgumentError
from metabench.spaces import Space

__all__ = ["visited_architectures"]


def visited_architectures(folders: Sequence[Path], space: Space, task: str) -> dict[str, np.ndarray]:
    """Which architectures each searcher's first run in a folder has trained to the end.

    One run a searcher: twenty together, or brackets that start hundreds of trainings, see the whole of a small space,
    and then nothing is left that only the others saw.

    Args:
        folders: of searches on this space.
        space: the space.
        task: task id.

    Returns:
        Searcher -> bool ``(architectures,)``; empty if no folder has runs on this task.

    Raises:
        ArgumentError: if a folder holds no run, or a run is damaged.
    """
    visited: dict[str, np.ndarray] = {}
    for folder in folders:
        if not (folder / "run.json").is_file():
            raise ArgumentError(f"{folder} is no run folder (it has no run.json); expected one of 'metabench search'.")
        for home in sorted(folder.glob(f"{space.id}/{task}/*/")):
            path = min(home.glob("seed-*.jsonl"), default=None)
            if path is None:
                continue
            try:
                trials = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
                last = max((trial.get("epoch", 0) for trial in trials), default=0)
                codes = [trial["code"] for trial in trials if trial.get("epoch", 0) == last]
                rows = space.row_of[np.array(codes, dtype=np.int64)]
            except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                raise ArgumentError(f"{path}: not a list of trials ({error}); run the search again.") from error
            mask = visited.setdefault(home.name, np.zeros(len(space.canonical_codes), dtype=bool))
            mask[rows] = True
    return visited
