"""One space on one task: what a researcher queries, whatever kind of benchmark answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metabench.datasets.task import Task
from metabench.errors import MissingResultError, QueryError
from metabench.seeding import numpy_generator
from metabench.spaces import Space
from metabench.tables.axes import best_first, epoch_place, integer_codes, known_seed, metric_columns, unknown_seed
from metabench.tables.result import METRICS, Result, Status, make_result
from metabench.tables.slices import UNCONVERGED_LIMIT, Slice, cut_slice
from metabench.tables.source import Source

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

__all__ = ["UNCONVERGED_LIMIT", "Benchmark"]

_MISSING = Status.MISSING  # an enum's members are slow to reach


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

    metrics = METRICS

    def __init__(self, space: Space, task: Task, kind: str, source: Source, provenance: Mapping[str, Any]) -> None:
        self.id = f"{space.id}/{task.id}"
        self.kind = kind
        self.space_definition = space
        self.task = task
        self.epochs = task.epochs
        self.seeds = source.seeds
        self.provenance = provenance
        self._source = source
        self._size, self._fixed = space.size, source.fixed
        self._others: dict[str, Benchmark] = {}
        self._slices: dict[tuple[int | None, int | str], Slice] = {}

    def __repr__(self) -> str:
        return f"Benchmark({self.id!r}, kind={self.kind!r}, epochs={self.epochs}, seeds={self.seeds})"

    @cached_property
    def _blocks(self) -> list[tuple[str, ...]]:
        return self.space_definition.blocks_of

    @cached_property
    def _canonical(self) -> list[int]:
        space = self.space_definition
        return space.canonical_codes[space.row_of].tolist()

    @cached_property
    def space(self) -> ConfigurationSpace:
        """The space as a ConfigSpace."""
        return self.space_definition.configuration_space()

    def _epoch(self, epoch: int | None) -> int:
        """The place of a recorded epoch."""
        return epoch_place(self.epochs, epoch)

    def _seed(self, seed: Any) -> Any:
        """A replicate as an int, or ``"mean"``."""
        return known_seed(self.seeds, seed, self.id)

    def _slice(self, epoch: int | None, seed: Any) -> Slice:
        """The slice of an epoch and a replicate or ``"mean"``, cut when it is first asked for."""
        place, number = self._epoch(epoch), self._seed(seed)
        found = self._slices.get((self.epochs[place], number))
        if found is None:
            replicate = None if number == "mean" else self.seeds.index(number)
            means = self._source.means if replicate is None else None
            arrays = self._source.arrays if means is None else means
            values = cut_slice(arrays, self.space_definition.row_of, place, replicate)
            found = Slice(values, self.epochs[place], number)
        if place == len(self.epochs) - 1:
            self._slices[None, number] = found
        self._slices[self.epochs[place], number] = found
        return found

    def _ensure(self, codes: Any, seed: Any) -> None:
        """Lets a source that makes its numbers when asked make those of these codes."""
        apart = self._source.means is not None and isinstance(seed, str) and seed == "mean"
        if self._source.ensure(self.space_definition.row_of[codes], replicates=not apart):
            self._slices.clear()

    def _missing(self, code: int, seed: int | str) -> MissingResultError:
        return MissingResultError(
            f"{self.id}: architecture {self.space_definition.architecture(code)} (code {code}), seed {seed}, is not in "
            f"the table yet; {self._source.remedy.format(space=self.space_definition.id)}."
        )

    def under(self, protocol: str) -> Benchmark:
        """The same benchmark under another training protocol.

        Args:
            protocol: ``"adam"`` is the table's own; ``"learned"`` has a sample of the architectures, trained by the
                shipped learned optimizer from the same initial weights and on the same batches.

        Raises:
            QueryError: if there is no such protocol, or it has no rows of this space and task.
            TableError: if its rows are damaged.
        """
        if protocol == "adam":
            return self
        if protocol not in self._others:
            from metabench.tables.protocols import open_protocol

            if self.kind != "table":
                raise QueryError(f"protocol {protocol!r} is measured, not {self.kind}; ask kind='table'.")
            costs = self._source.arrays[2]
            source, provenance = open_protocol(protocol, self.space_definition, self.task, costs)
            other = Benchmark(self.space_definition, self.task, self.kind, source, provenance)
            self._others[protocol] = other
        return self._others[protocol]

    def query(
        self,
        architecture: Any,
        *,
        epoch: int | None = None,
        seed: int | Literal["mean", "all"] = "mean",
        protocol: str = "adam",
    ) -> Any:
        """What one architecture achieved.

        Args:
            architecture: a code, block names, an ``Architecture``, a ``Configuration`` or a mapping.
            epoch: a recorded epoch; None is the last.
            seed: a replicate, ``"mean"`` over all of them, or ``"all"``.
            protocol: how it was trained, ``"adam"`` or ``"learned"``; see :meth:`under`.

        Returns:
            A :class:`Result`, or a list of them, one a replicate, for ``seed="all"``.

        Raises:
            ArchitectureError, UnknownNameError: if the architecture is not in the space.
            QueryError: if the epoch or seed is not recorded; the message offers the nearest.
            MissingResultError: if the cell has not been measured, or, for the mean, one replicate of it.
        """
        if protocol != "adam":
            return self.under(protocol).query(architecture, epoch=epoch, seed=seed)
        if type(architecture) is int and 0 <= architecture < self._size:
            code = architecture
        else:
            code = self.space_definition.code(architecture)
        if not self._fixed:
            self._epoch(epoch)  # before a training that nobody could use
            if not (isinstance(seed, str) and seed == "all"):
                self._seed(seed)
            self._ensure([code], seed)
        try:
            part = self._slices[epoch, seed]
        except (KeyError, TypeError):  # not cut yet, not recorded, or unhashable
            if isinstance(seed, str) and seed == "all":
                if not self.seeds:
                    raise self._missing(code, seed) from None
                return [self.query(code, epoch=epoch, seed=one) for one in self.seeds]
            part = self._slice(epoch, seed)
        status = part.status[code]
        if status is _MISSING:
            raise self._missing(code, part.seed)
        numbers = part.read(part.buffer, code * part.stride)
        blocks, canonical = self._blocks[code], self._canonical[code]
        return make_result(blocks, canonical, part.epoch, part.seed, numbers, status, self.provenance)

    def query_batch(
        self,
        codes: Any,
        *,
        epoch: int | None = None,
        seed: int | np.ndarray | Literal["mean"] = "mean",
        metrics: Sequence[str] = ("test_score",),
        protocol: str = "adam",
    ) -> np.ndarray:
        """What many architectures achieved, NaN where a cell is missing.

        Args:
            codes: integer codes, ``(n,)``.
            epoch: a recorded epoch; None is the last.
            seed: ``"mean"``, one replicate, or one a code, ``(n,)``.
            metrics: names out of :attr:`metrics`.
            protocol: how they were trained, ``"adam"`` or ``"learned"``; see :meth:`under`.

        Returns:
            float32 ``(n, len(metrics))``.

        Raises:
            QueryError: if an epoch, seed or metric is not recorded.
            ArchitectureError: if a code is not in the space.
        """
        if protocol != "adam":
            return self.under(protocol).query_batch(codes, epoch=epoch, seed=seed, metrics=metrics)
        codes = self._codes(codes)
        columns = metric_columns(metrics)
        self._epoch(epoch)
        if isinstance(seed, str) and seed != "mean":
            raise QueryError(f"seed={seed!r}: expected 'mean', a replicate or one replicate a code.")
        one = np.ndim(seed) == 0
        chosen = self._seed(np.asarray(seed)[()] if isinstance(seed, np.ndarray) else seed) if one else seed
        replicates = None if one else self._replicates(seed, len(codes))
        if not self._fixed:
            self._ensure(codes, chosen)
        if replicates is None:
            return self._slice(epoch, chosen).columns(codes, columns)
        stacked = np.concatenate([self._slice(epoch, number).values[:, columns] for number in self.seeds])
        return stacked.take(codes + replicates * self._size, axis=0)

    def _codes(self, codes: Any) -> np.ndarray:
        """Checked codes, int64 ``(n,)``."""
        codes = integer_codes(codes)
        if codes.size and (codes.min() < 0 or codes.max() >= self._size):
            self.space_definition.canonical(int(codes.min() if codes.min() < 0 else codes.max()))
        return codes.astype(np.int64, copy=False)

    def _replicates(self, seeds: Any, count: int) -> np.ndarray:
        """The places of replicates ``(n,)`` among :attr:`seeds`."""
        seeds = np.asarray(seeds)
        if seeds.shape != (count,) or (count and not np.issubdtype(seeds.dtype, np.integer)):
            raise QueryError(
                f"seeds have shape {seeds.shape} and type {seeds.dtype}; expected one integer or ({count},) of them."
            )
        place = np.full(max(self.seeds, default=-1) + 1, -1)
        place[list(self.seeds)] = range(len(self.seeds))
        if count and (seeds.min() < 0 or seeds.max() >= len(place)):
            raise unknown_seed(self.seeds, int(seeds.min() if seeds.min() < 0 else seeds.max()), self.id)
        found = place[seeds.astype(np.int64, copy=False)]
        if found.size and found.min() < 0:
            raise unknown_seed(self.seeds, int(seeds[found.argmin()]), self.id)
        return found

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
        return [self.query(int(codes[i])) for i in best_first(scores, metric)[:k] if not np.isnan(scores[i])]
