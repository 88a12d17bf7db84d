"""A benchmark of 21 made-up architectures, on which kits run searchers in milliseconds."""

from __future__ import annotations

from collections.abc import Collection

import numpy as np

from metabench.datasets.task import Protocol, Task
from metabench.spaces import Space
from metabench.spaces.definition import SpaceDefinition
from metabench.tables.benchmark import Benchmark
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS
from metabench.tables.source import Source

__all__ = ["make_toy_benchmark"]

_EPOCHS = (1, 3, 9)
_SEEDS = (0, 1, 2)


class _ArraySource(Source):
    def __init__(self, results: np.ndarray, seconds: np.ndarray, costs: np.ndarray) -> None:
        self.seeds = _SEEDS
        self.arrays = (results, seconds, costs)

    def ensure(self, rows: np.ndarray, *, replicates: bool = True) -> bool:
        """All is there from the beginning."""
        return False


def make_toy_benchmark(
    task: str = "toy-v1",
    *,
    seed: int = 0,
    epochs: tuple[int, ...] = _EPOCHS,
    diverged: Collection[tuple[int, int]] = (),
    missing: Collection[tuple[int, int]] = (),
    unconverged: Collection[tuple[int, int]] = (),
) -> Benchmark:
    """Two stages of four blocks or nothing: 21 architectures, epochs 1, 3, 9, replicates 0, 1, 2.

    A score is a sum of effects of the blocks, grows with the epochs, and has a little noise; a training takes seconds.

    Args:
        task: id of its task.
        seed: of its numbers; other seeds make other tasks of the same space.
        epochs: checkpoints.
        diverged: (row in ``space.canonical_codes``, replicate) of trainings that fail after the first epoch, or from
            the first if there is only one.
        missing: those that are not in the table.
        unconverged: those whose solves missed their tolerance.
    """
    definition = SpaceDefinition("toy-v1", "Made-up blocks.", stages=2, blocks=("skip", "a", "b", "c", "d"), width=1)
    space = Space(definition)
    codes = space.canonical_codes
    generator = np.random.default_rng(seed)
    effects = generator.uniform(0.0, 0.3, size=(space.stages, len(space.blocks)))
    ideal = 0.3 + effects[0, codes // 5] + effects[1, codes % 5]
    shape = (len(codes), len(_SEEDS), len(epochs))
    growth = 1 - 0.5 / np.sqrt(epochs)
    results = np.zeros((*shape, len(TRAINING_METRICS)), dtype=np.float32)
    for metric in ("train_loss", "val_score", "test_score"):
        noise = generator.normal(0.0, 0.01, size=shape)
        results[..., TRAINING_METRICS.index(metric)] = np.clip(ideal[:, None, None] * growth + noise, 0, 1)
    seconds = np.broadcast_to(generator.uniform(1, 3, size=(len(codes), 1, 1)) * epochs, shape).astype(np.float32)
    costs = np.ones((len(codes), len(ARCHITECTURE_METRICS)), dtype=np.float32)
    for row, replicate in unconverged:
        results[row, replicate, :, TRAINING_METRICS.index("unconverged")] = 0.5
    for row, replicate in diverged:
        results[row, replicate, min(1, len(epochs) - 1) :] = np.nan
        results[row, replicate, min(1, len(epochs) - 1) :, TRAINING_METRICS.index("train_loss")] = np.inf
    for row, replicate in missing:
        results[row, replicate], seconds[row, replicate] = np.nan, np.nan
    protocol = Protocol(epochs=epochs[-1], batch_size=1, learning_rate={"default": 1.0}, checkpoints=epochs)
    splits = {"train": 1, "val": 1, "test": 1}
    definition = Task(task, "Made-up numbers.", "toy", {}, splits, "accuracy", protocol)
    return Benchmark(space, definition, "table", _ArraySource(results, seconds, costs), {"sha256": f"{task} {seed}"})
