"""One joint space on one task: the same questions and answers as of a table, about configurations too many to list."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from metabench.datasets.task import Task
from metabench.errors import ArchitectureError, MissingResultError, QueryError
from metabench.seeding import numpy_generator
from metabench.spaces.joint import JointSpace
from metabench.tables.axes import best_first, epoch_place, integer_codes, known_seed, metric_columns
from metabench.tables.joint_source import JointSource
from metabench.tables.result import METRICS, Result, make_result
from metabench.tables.slices import statuses

if TYPE_CHECKING:
    from ConfigSpace import ConfigurationSpace

__all__ = ["JointBenchmark"]

_POOL = 10_000  # configurations among which `best` looks
_KEPT = 4096  # answers that are remembered: a search asks for the same ones again
_ALL = list(range(len(METRICS)))


class JointBenchmark:
    """Answers queries about configurations of a joint space on one task.

    Attributes:
        id: ``"space/task"``.
        kind: ``"surrogate"`` or ``"live"``.
        space_definition: the :class:`JointSpace`.
        task: the :class:`Task` as the space trains on it, with its own batch size.
        epochs: checkpoint epochs.
        seeds: replicates.
        metrics: names that :meth:`query_batch` knows.
    """

    metrics = METRICS

    def __init__(
        self, space: JointSpace, task: Task, kind: str, source: JointSource, provenance: Mapping[str, Any]
    ) -> None:
        self.id = f"{space.id}/{task.id}"
        self.kind = kind
        self.space_definition = space
        self.task = task
        self.epochs = task.epochs
        self.seeds = source.seeds
        self.provenance = provenance
        self._source = source
        self._kept: dict[tuple[int, int, int | str], Result] = {}

    def __repr__(self) -> str:
        return f"JointBenchmark({self.id!r}, kind={self.kind!r}, epochs={self.epochs}, seeds={self.seeds})"

    def under(self, protocol: str) -> JointBenchmark:
        """The same benchmark: there is no protocol beside ``"adam"``, of which learning rate and decay are searched.

        Raises:
            QueryError: for another protocol.
        """
        if protocol != "adam":
            raise QueryError(f"{self.id} has one protocol, 'adam'; got {protocol!r}.")
        return self

    @cached_property
    def space(self) -> ConfigurationSpace:
        """The space as a ConfigSpace, with its conditions."""
        return self.space_definition.configuration_space()

    def query(self, architecture: Any, *, epoch: int | None = None, seed: int | Literal["mean", "all"] = "mean") -> Any:
        """What one configuration achieved.

        Args:
            architecture: a code, a ``JointArchitecture`` or its text, a ``Configuration`` or a mapping.
            epoch: a recorded epoch; None is the last.
            seed: a replicate, ``"mean"`` over all of them, or ``"all"``.

        Returns:
            A :class:`Result`, or a list of them, one a replicate, for ``seed="all"``. Its code names the configuration:
            ``space_definition.architecture(result.code)``.

        Raises:
            ArchitectureError, UnknownNameError: if the configuration is not in the space.
            QueryError: if the epoch or seed is not recorded; the message offers the nearest.
        """
        code, place = self.space_definition.code(architecture), epoch_place(self.epochs, epoch)
        if isinstance(seed, str) and seed == "all":
            return [self.query(code, epoch=epoch, seed=one) for one in self.seeds]
        number = known_seed(self.seeds, seed, self.id)
        found = self._kept.get((code, place, number))
        if found is None:
            values = self._source.numbers(np.array([code]), place, number, _ALL)
            blocks = self.space_definition.architecture(code).blocks
            (status,) = statuses(values)
            numbers = tuple(values[0].tolist())
            found = make_result(blocks, code, self.epochs[place], number, numbers, status, self.provenance)
            if len(self._kept) >= _KEPT:
                self._kept.clear()
            self._kept[code, place, number] = found
        return found

    def query_batch(
        self,
        codes: Any,
        *,
        epoch: int | None = None,
        seed: int | np.ndarray | Literal["mean"] = "mean",
        metrics: Sequence[str] = ("test_score",),
    ) -> np.ndarray:
        """What many configurations achieved.

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
        found, place, columns = self._codes(codes), epoch_place(self.epochs, epoch), metric_columns(metrics)
        if np.ndim(seed) == 0:
            number = known_seed(self.seeds, np.asarray(seed)[()] if isinstance(seed, np.ndarray) else seed, self.id)
            return self._source.numbers(found, place, number, columns)
        seeds = np.asarray(seed)
        if seeds.shape != found.shape:
            raise QueryError(f"seeds have shape {seeds.shape}; expected one integer or {found.shape} of them.")
        out = np.empty((len(found), len(columns)), dtype=np.float32)
        for one in np.unique(seeds):
            rows = seeds == one
            out[rows] = self._source.numbers(found[rows], place, known_seed(self.seeds, one, self.id), columns)
        return out

    def _codes(self, codes: Any) -> np.ndarray:
        """Checked canonical codes, int64 ``(n,)``."""
        codes = integer_codes(codes)
        size = self.space_definition.size
        if codes.size and (codes.min() < 0 or codes.max() >= size):
            wrong = int(codes.min() if codes.min() < 0 else codes.max())
            raise ArchitectureError(
                f"code {wrong} is not in space {self.space_definition.id!r}; expected 0 to {size - 1}."
            )
        return self.space_definition.canonical_of(codes.astype(np.int64))

    def sample(self, n: int, seed: int) -> np.ndarray:
        """``n`` canonical codes, each hyperparameter uniform on its range, int64 ``(n,)``; the same for the same seed.

        They are not those that the surrogate was fitted to, which ``space_definition.sample(i)`` gives.
        """
        return self.space_definition.draw(n, numpy_generator("sample", seed))

    def best(self, k: int = 1, metric: str = "val_score") -> list[Result]:
        """The ``k`` best of 10,000 configurations drawn with seed 0, at the last epoch, best first.

        A joint space cannot be listed; a search finds better ones.

        Raises:
            QueryError: if ``k`` < 1 or the metric is unknown.
            MissingResultError: under ``kind="live"``, where nothing has been measured beforehand.
        """
        if k < 1:
            raise QueryError(f"k={k}: expected at least 1.")
        if self.kind == "live":
            raise MissingResultError(f"{self.id}: kind='live' has no list of results; ask kind='surrogate'.")
        codes = np.unique(self.sample(_POOL, 0))
        scores = self.query_batch(codes, metrics=(metric,))[:, 0]
        return [self.query(int(codes[i])) for i in best_first(scores, metric)[:k]]
