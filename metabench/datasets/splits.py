"""A task's arrays, split and checked."""

from __future__ import annotations

import hashlib
import inspect
from dataclasses import dataclass
from functools import lru_cache
from itertools import pairwise

import numpy as np

from metabench.datasets.task import DATASETS, Task
from metabench.errors import ContentError, DefinitionError
from metabench.registry import did_you_mean

__all__ = ["Splits", "checksum", "load_splits", "make_splits"]


@dataclass(frozen=True)
class Splits:
    """Inputs float32 ``(rows, inputs)`` and labels int64 ``(rows,)`` of the three splits, and the number of classes."""

    train_x: np.ndarray
    train_y: np.ndarray
    val_x: np.ndarray
    val_y: np.ndarray
    test_x: np.ndarray
    test_y: np.ndarray
    classes: int


def checksum(splits: Splits) -> str:
    """SHA-256 of the six arrays, inputs rounded to 1e-4 so that the last bit of a platform's libm does not matter."""
    digest = hashlib.sha256()
    for name in ("train", "val", "test"):
        digest.update(np.rint(getattr(splits, f"{name}_x") * 1e4).astype("<i4").tobytes())
        digest.update(getattr(splits, f"{name}_y").astype("<i8").tobytes())
    return digest.hexdigest()


def make_splits(task: Task) -> Splits:
    """Makes the arrays without checking them: the first rows train, the next validate, the next test.

    Raises:
        DefinitionError: if the data set has too few rows, or no parameter of a name that is given.
        ArgumentError: if a parameter is out of range.
    """
    make = DATASETS.get(task.dataset)
    known = inspect.signature(make).parameters
    for name in task.parameters:
        if name not in known:
            raise DefinitionError(
                f"task {task.id!r}: data set {task.dataset!r} has no parameter {name!r}.{did_you_mean(name, known)} "
                f"Known: {', '.join(known)}."
            )
    x, y = make(**task.parameters)
    cuts = np.cumsum([0, *(task.splits[name] for name in ("train", "val", "test"))])
    if len(x) < cuts[-1]:
        raise DefinitionError(
            f"task {task.id!r}: data set {task.dataset!r} has {len(x)} rows; the splits ask for {cuts[-1]}."
        )
    parts = [(x[a:b].astype(np.float32), y[a:b].astype(np.int64)) for a, b in pairwise(cuts)]
    return Splits(*(array for pair in parts for array in pair), classes=int(y.max()) + 1)


@lru_cache(maxsize=8)
def _load(key: str, task: _ByText) -> Splits:
    splits = make_splits(task.task)
    if task.task.checksum and checksum(splits) != task.task.checksum:
        raise ContentError(
            f"task {task.task.id!r}: the arrays' checksum is {checksum(splits)[:12]}..., expected "
            f"{task.task.checksum[:12]}...; another version of the generator? Install the versions of constraints.txt."
        )
    return splits


@dataclass(frozen=True)
class _ByText:
    task: Task

    def __hash__(self) -> int:
        return hash(repr(self.task))


def load_splits(task: Task) -> Splits:
    """The task's arrays, made once a process.

    Raises:
        ContentError: if they are not the arrays the definition was published with.
    """
    return _load(task.id, _ByText(task))
