"""A fitted surrogate as a source of results: predicted when asked for, and remembered."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from metabench.content import find_measured, folder
from metabench.datasets.task import Task
from metabench.errors import TableError
from metabench.spaces import Space
from metabench.surrogate import load_surrogate
from metabench.surrogate.store import MANIFEST, read_manifest
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS
from metabench.tables.source import Source

__all__ = ["REPLICATES", "SurrogateSource", "find_surrogate", "space_digits", "surrogate_provenance"]

REPLICATES = 10  # noisy draws that a surrogate offers as seeds
METRICS = (*TRAINING_METRICS, "train_seconds")
"""What a surrogate predicts at each epoch."""


def space_digits(space: Space, codes: np.ndarray) -> np.ndarray:
    """The block of each stage as an index into ``space.blocks``, int ``(n, stages)``."""
    return np.stack(np.unravel_index(codes, (len(space.blocks),) * space.stages), axis=-1)


def find_surrogate(space_id: str, task_id: str, *, instead: str = "kind='table' or 'live'") -> Path:
    """The folder of a fitted surrogate: under ``surrogates`` of the working directory, else the shipped one.

    Args:
        space_id: of the space.
        task_id: of the task.
        instead: what else there is to ask, for the message.

    Raises:
        TableError: if there is none; the message says how to fit it.
    """
    found = find_measured(f"{space_id}/surrogate/{task_id}", MANIFEST)
    if found is not None:
        return found
    homes = (root / space_id / "surrogate" for root in (Path.cwd() / "surrogates", folder("surrogates")))
    fitted = sorted({path.parent.name for home in homes for path in home.glob(f"*/{MANIFEST}")})
    raise TableError(
        f"{space_id}/{task_id} has no fitted surrogate here (tasks that have: {', '.join(fitted) or 'none'}); fit it "
        f"with 'metabench fit {space_id} --tasks {task_id}', or use {instead}."
    )


def surrogate_provenance(place: Path) -> dict[str, Any]:
    """What a result of this surrogate was made from."""
    manifest = read_manifest(place)
    return {
        "kind": "surrogate",
        "model": manifest["settings"]["model"],
        "architectures": manifest["architectures"],
        **{key: manifest[key] for key in ("command", "table") if key in manifest},
    }


class SurrogateSource(Source):
    """Predicts an architecture when it is asked for; ``"mean"`` is the prediction, a seed a noisy draw around it."""

    means: tuple[np.ndarray, np.ndarray, np.ndarray]

    def __init__(self, place: Path, space: Space, task: Task) -> None:
        self._surrogate = surrogate = load_surrogate(place)
        axes = (surrogate.blocks, surrogate.stages, surrogate.epochs, surrogate.metrics, surrogate.cost_names)
        if axes != (space.blocks, space.stages, task.epochs, METRICS, ARCHITECTURE_METRICS):
            raise TableError(f"{place}: fitted to another {space.id!r} or {task.id!r}; fit the surrogate again.")
        self.seeds = tuple(range(REPLICATES))
        self._space = space
        n, epochs = len(space.canonical_codes), len(task.epochs)
        self._costs = np.full((n, len(ARCHITECTURE_METRICS)), np.nan, dtype=np.float32)
        self.means = self._empty(n, 1, epochs)
        self.arrays = self._empty(n, REPLICATES, epochs)

    def _empty(self, n: int, seeds: int, epochs: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        results = np.full((n, seeds, epochs, len(TRAINING_METRICS)), np.nan, dtype=np.float32)
        return results, np.full((n, seeds, epochs), np.nan, dtype=np.float32), self._costs

    def ensure(self, rows: np.ndarray, *, replicates: bool = True) -> bool:
        """Predicts the rows that were not asked for before."""
        target = self.arrays if replicates else self.means
        new = rows[np.isnan(target[0][rows, 0, 0, 0])]
        if not len(new):
            return False
        new = np.unique(new)
        codes = self._space.canonical_codes[new]
        digits = space_digits(self._space, codes)
        prediction = self._surrogate.predict(digits, noise=replicates)
        self._costs[new] = self._surrogate.predict_costs(digits)
        if not replicates:
            self._fill(self.means, new, 0, prediction.mean())
            return True
        for seed in self.seeds:
            self._fill(self.arrays, new, seed, self._surrogate.replicate(prediction, codes, seed))
        return True

    @staticmethod
    def _fill(target: tuple[np.ndarray, ...], rows: np.ndarray, seed: int, values: np.ndarray) -> None:
        target[0][rows, seed] = values[..., : len(TRAINING_METRICS)]
        target[1][rows, seed] = values[..., len(TRAINING_METRICS)]
