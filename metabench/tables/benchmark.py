"""One space on one task: what a researcher queries, whatever kind of benchmark answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metabench.datasets.task import Task
from metabench.errors import MissingResultError, QueryError
from metabench.registry import did_you_mean
from metabench.seeding import numpy_generator
from metabench.spaces import Space
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS, Result, Status
from metabench.tables.source import Source

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

__all__ = ["UNCONVERGED_LIMIT", "Benchmark"]

_REMEMBERED = 50_000  # answers kept, about 50 MB: results are immutable, and a search asks for the same ones often
UNCONVERGED_LIMIT = 0.05  # a training is called unconverged when more than this fraction of its samples missed


class Benchmark:
    """Answers queries about the architectures of one space on one task.

    Attributes:
        id: ``"space/task"``.
        kind: ``"table"``, ``"surrogate"`` or ``"live"``.
        space_definition: the :class:`Space`.
        task: the :class:`Task`.
        epochs: checkpoint epochs.
        seeds: replicates.
        metrics: names that :meth:`query_batch` knows.
    """

    metrics = (*TRAINING_METRICS, "train_seconds", *ARCHITECTURE_METRICS)

    def __init__(self, space: Space, task: Task, kind: str, source: Source, provenance: Mapping[str, Any]) -> None:
        self.id = f"{space.id}/{task.id}"
        self.kind = kind
        self.space_definition = space
        self.task = task
        self.epochs = task.epochs
        self.seeds = source.seeds
        self.provenance = provenance
        self._source = source
        self._epoch_index = {epoch: i for i, epoch in enumerate(self.epochs)}
        self._answers: dict[tuple[int, int | None, int | str], Result] = {}
        self._column = {name: i for i, name in enumerate(self.metrics)}

    def __repr__(self) -> str:
        return f"Benchmark({self.id!r}, kind={self.kind!r}, epochs={self.epochs}, seeds={self.seeds})"

    @cached_property
    def space(self) -> ConfigurationSpace:
        """The space as a ConfigSpace."""
        return self.space_definition.configuration_space()

    def _epoch(self, epoch: int | None) -> int:
        if epoch is None:
            return len(self.epochs) - 1
        index = self._epoch_index.get(epoch)
        if index is None:
            nearest = min(self.epochs, key=lambda known: abs(known - epoch))
            raise QueryError(
                f"epoch {epoch} is not recorded; the nearest is {nearest} "
                f"(recorded: {', '.join(map(str, self.epochs))})."
            )
        return index

    def _check_seed(self, seed: Any) -> None:
        if seed not in self.seeds:
            raise QueryError(
                f"seed {seed!r} is not in {self.id}; expected {', '.join(map(str, self.seeds))}, 'mean' or 'all'."
            )

    def _arrays(self, rows: np.ndarray, mean: bool) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """The source's arrays; of means, where the source has means of its own."""
        apart = mean and self._source.means is not None
        self._source.ensure(rows, replicates=not apart)
        means = self._source.means
        return means if apart and means is not None else self._source.arrays

    def _values(self, row: int, epoch: int, seed: int | None, *, mean: bool = False) -> np.ndarray:
        """All metrics of one row, ``(seeds, n_metrics)``, or of one seed, ``(n_metrics,)``."""
        results, seconds, costs = self._arrays(np.array([row]), mean)
        if seed is None:
            shared = np.broadcast_to(costs[row], (results.shape[1], costs.shape[-1]))
            return np.concatenate([results[row, :, epoch], seconds[row, :, epoch, None], shared], axis=-1)
        return np.concatenate([results[row, seed, epoch], seconds[row, seed, epoch, None], costs[row]])

    def _result(self, code: int, epoch: int, seed: int | str, values: np.ndarray) -> Result:
        numbers = values.tolist()
        loss, unconverged = numbers[0], numbers[5]
        if loss != loss:
            blocks = self.space_definition.architecture(code)
            raise MissingResultError(
                f"{self.id}: architecture {blocks} (code {code}), seed {seed}, is not in the table yet; "
                f"finish it with 'metabench build --space {self.space_definition.id}', or ask kind='live'."
            )
        if loss == float("inf"):
            status = Status.DIVERGED
        else:
            status = Status.UNCONVERGED if unconverged > UNCONVERGED_LIMIT else Status.OK
        architecture = self.space_definition.architecture(code).blocks
        fields: Any = (architecture, code, self.epochs[epoch], seed, *numbers, status, self.provenance)
        return Result(*fields)

    def query(self, architecture: Any, *, epoch: int | None = None, seed: int | Literal["mean", "all"] = "mean") -> Any:
        """What one architecture achieved.

        Args:
            architecture: a code, block names, an ``Architecture``, a ``Configuration`` or a mapping.
            epoch: a recorded epoch; None is the last.
            seed: a replicate, ``"mean"`` over all of them, or ``"all"``.

        Returns:
            A :class:`Result`, or a list of them, one a replicate, for ``seed="all"``.

        Raises:
            ArchitectureError, UnknownNameError: if the architecture is not in the space.
            QueryError: if the epoch or seed is not recorded; the message offers the nearest.
            MissingResultError: if the cell has not been measured.
        """
        if type(architecture) is int:
            ready = self._answers.get((architecture, epoch, seed))
            if ready is not None:
                return ready
        code = self.space_definition.code(architecture)
        index, row = self._epoch(epoch), int(self.space_definition.row_of[code])
        if seed == "all":
            values = self._values(row, index, None)
            return [self._result(code, index, s, v) for s, v in zip(self.seeds, values, strict=True)]
        if seed == "mean":
            result = self._result(code, index, seed, self._values(row, index, None, mean=True).mean(axis=0))
        else:
            self._check_seed(seed)
            result = self._result(code, index, int(seed), self._values(row, index, self.seeds.index(int(seed))))
        if len(self._answers) >= _REMEMBERED:
            self._answers.clear()
        self._answers[architecture if type(architecture) is int else code, epoch, seed] = result
        return result

    def query_batch(
        self,
        codes: Any,
        *,
        epoch: int | None = None,
        seed: int | np.ndarray | Literal["mean"] = "mean",
        metrics: Sequence[str] = ("test_score",),
    ) -> np.ndarray:
        """What many architectures achieved, NaN where a cell is missing.

        Args:
            codes: integer codes, ``(n,)``.
            epoch: a recorded epoch; None is the last.
            seed: ``"mean"``, one replicate, or one a code, ``(n,)``.
            metrics: names out of :attr:`metrics`.

        Returns:
            float32 ``(n, len(metrics))``.

        Raises:
            QueryError: if an epoch, seed or metric is not recorded.
            ArchitectureError: if a code is not in the space.
        """
        codes, index = np.atleast_1d(np.asarray(codes)), self._epoch(epoch)
        if codes.ndim != 1 or (codes.size and not np.issubdtype(codes.dtype, np.integer)):
            raise QueryError(f"codes have shape {codes.shape} and type {codes.dtype}; expected integers (n,).")
        if codes.size and (codes.min() < 0 or codes.max() >= self.space_definition.size):
            self.space_definition.canonical(int(codes.min() if codes.min() < 0 else codes.max()))
        for name in metrics:
            if name not in self._column:
                raise QueryError(
                    f"unknown metric {name!r}.{did_you_mean(name, self.metrics)} Known: {', '.join(self.metrics)}."
                )
        rows = self.space_definition.row_of[codes.astype(np.int64)]
        results, seconds, costs = self._arrays(rows, isinstance(seed, str))
        chosen: Any
        if isinstance(seed, str):
            if seed != "mean":
                raise QueryError(f"seed={seed!r}: expected 'mean', a replicate or one replicate a code.")
            chosen = slice(None)
        else:
            chosen = np.asarray(seed)
            for value in np.unique(chosen):
                self._check_seed(int(value))
        out = np.empty((len(rows), len(metrics)), dtype=np.float32)
        n_results = results.shape[-1]
        for i, name in enumerate(metrics):
            column = self._column[name]
            if column > n_results:
                out[:, i] = costs[rows, column - n_results - 1]
                continue
            array = seconds[:, :, index] if column == n_results else results[:, :, index, column]
            picked = array[rows] if isinstance(chosen, slice) else array[rows, chosen]
            out[:, i] = picked.mean(axis=-1) if isinstance(chosen, slice) else picked
        return out

    def sample(self, n: int, seed: int) -> np.ndarray:
        """``n`` canonical codes drawn uniformly with replacement, int64 ``(n,)``; the same for the same seed."""
        return numpy_generator("sample", seed).choice(self.space_definition.canonical_codes, size=n)

    def best(self, k: int = 1, metric: str = "val_score") -> list[Result]:
        """The ``k`` best architectures by the mean over seeds at the last epoch, best first; missing ones are left out.

        Raises:
            QueryError: if ``k`` < 1 or the metric is unknown.
            MissingResultError: under ``kind="live"``, where nothing has been measured beforehand.
        """
        if k < 1:
            raise QueryError(f"k={k}: expected at least 1.")
        if self.kind == "live":
            raise MissingResultError(f"{self.id}: kind='live' has no list of results; ask kind='table' for the best.")
        codes = self.space_definition.canonical_codes
        scores = self.query_batch(codes, metrics=(metric,))[:, 0]
        higher = metric in ("val_score", "test_score")
        order = np.argsort(-scores if higher else scores, kind="stable")
        return [self.query(int(codes[i])) for i in order[:k] if not np.isnan(scores[i])]
