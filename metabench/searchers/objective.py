"""What a search loop asks of a benchmark: results, and how good an architecture really is."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from metabench.errors import MissingResultError, TableError
from metabench.searchers.transfer import scores_on_other_tasks
from metabench.tables.benchmark import UNCONVERGED_LIMIT, Benchmark
from metabench.tables.replicates import replicate_mean
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS, Result, Status

if TYPE_CHECKING:
    from metabench.searchers.trainings import Trainings
    from metabench.spaces import Architecture

__all__ = ["Objective", "Standing"]

_SCORES = ("val_score", "test_score")
_NOTHING = dict.fromkeys((*TRAINING_METRICS, "train_seconds", *ARCHITECTURE_METRICS), math.nan)


class Standing(NamedTuple):
    """How good an incumbent is (fields as in a trial's line, see ``README.md`` beside this file)."""

    val_regret: float | None
    test_regret: float | None
    val_score: float | None
    test_score: float | None


class Objective:
    """A benchmark seen by searches; one objective may serve many runs, as it keeps only what the benchmark said.

    On a table, the regret of an architecture is the best seed-mean score of all architectures at the last epoch, minus
    its own seed-mean score there. Where a replicate failed, the mean of the others stands in. Surrogate and live
    benchmarks have no known optimum, and so no regret.

    Args:
        benchmark: the benchmark.
        trainings: keeps the trainings of a live benchmark across calls.

    Raises:
        TableError: if no architecture of a table has a score.
    """

    def __init__(self, benchmark: Benchmark, trainings: Trainings | None = None) -> None:
        self.benchmark = benchmark
        self.space = benchmark.space_definition
        self.epochs = tuple(int(epoch) for epoch in benchmark.epochs)
        self.seeds = tuple(int(seed) for seed in benchmark.seeds)
        self.known_optimum = benchmark.kind == "table"
        self.best: tuple[float, float] | None = None
        self._results: dict[tuple[Any, int, int], Result] = {}
        self._names: dict[int, str] = {}
        self._architectures: dict[int, Architecture] = {}
        self._columns: dict[tuple[int, int], list[list[float]]] = {}
        self._whole_table = self.known_optimum and isinstance(benchmark, Benchmark)
        self._trainings = trainings
        self._other_tasks: dict[str, np.ndarray] | None = None
        if self.known_optimum:
            self._scores = self._seed_means()
            top = np.nanmax(self._scores, axis=0)
            self.best = float(top[0]), float(top[1])

    def _seed_means(self) -> np.ndarray:
        """Validation and test score of every architecture, ``(n_architectures, 2)``."""
        codes = self.space.canonical_codes
        query = self.benchmark.query_batch
        scores = replicate_mean(
            np.array([query(codes, seed=seed, metrics=_SCORES) for seed in self.seeds], dtype=float)
        )
        if not np.isfinite(scores).any(axis=0).all():
            raise TableError(f"{self.benchmark.id} has no finished training at its last epoch; build the table first.")
        return scores

    def evaluate(self, config: Any, epoch: int, seed: int) -> Result:
        """The result of one training, with status ``missing`` and no cost where the benchmark has none.

        Raises:
            MetabenchError: if the configuration, epoch or seed is not one of the benchmark's.
        """
        key = (config, epoch, seed)
        result = self._results.get(key)
        if result is None:
            result = self._results[key] = self._find(self.space.code(config), epoch, seed)
        return result

    def _find(self, code: int, epoch: int, seed: int) -> Result:
        if self._whole_table:
            return self._from_column(code, epoch, seed)
        if self._trainings is not None:
            return self._trainings.find(code, epoch, seed)
        try:
            return self.benchmark.query(code, epoch=epoch, seed=seed)
        except MissingResultError:
            return self._missing(code, epoch, seed)

    def _from_column(self, code: int, epoch: int, seed: int) -> Result:
        """As ``benchmark.query``, but reads all architectures of an epoch and replicate at once: 20 times quicker."""
        column = self._columns.get((epoch, seed))
        if column is None:
            table = self.benchmark.query_batch(
                self.space.canonical_codes, epoch=epoch, seed=seed, metrics=self.benchmark.metrics
            )
            column = self._columns[epoch, seed] = table.tolist()
        numbers = column[self.space.row_of[code]]
        loss, unconverged = numbers[0], numbers[5]
        if loss != loss:
            return self._missing(code, epoch, seed)
        if loss == math.inf:
            status = Status.DIVERGED
        else:
            status = Status.UNCONVERGED if unconverged > UNCONVERGED_LIMIT else Status.OK
        fields: Any = (self._architecture(code).blocks, code, epoch, seed, *numbers, status)
        return Result(*fields, provenance=self.benchmark.provenance)

    def _missing(self, code: int, epoch: int, seed: int) -> Result:
        return Result(
            architecture=self._architecture(code).blocks,
            code=code,
            epoch=epoch,
            seed=seed,
            status=Status.MISSING,
            **_NOTHING,
        )

    def standing(self, result: Result) -> Standing:
        """How good the architecture of a training is: its seed means where the optimum is known, else this result."""
        if self.best is None:
            return Standing(None, None, _finite_or_none(result.val_score), _finite_or_none(result.test_score))
        val, test = self._scores[self.space.row_of[result.code]].tolist()
        numbers = (self.best[0] - val, self.best[1] - test, val, test)
        return Standing(*map(_finite_or_none, numbers))

    def other_tasks(self, searcher: str) -> dict[str, np.ndarray]:
        """Scores on other tasks of the space's table, as :func:`metabench.searchers.transfer.scores_on_other_tasks`."""
        if self._other_tasks is None:
            self._other_tasks = scores_on_other_tasks(self.benchmark, searcher)
        return self._other_tasks

    def name(self, code: int) -> str:
        """The architecture of a canonical code in words (``"mlp.deq,gated.ode"``)."""
        text = self._names.get(code)
        if text is None:
            text = self._names[code] = str(self._architecture(code))
        return text

    def _architecture(self, code: int) -> Architecture:
        found = self._architectures.get(code)
        if found is None:
            found = self._architectures[code] = self.space.architecture(code)
        return found


def _finite_or_none(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
