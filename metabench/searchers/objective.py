"""What a search loop asks of a benchmark: results, and the regret of an architecture."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

import numpy as np

from metabench.errors import MissingResultError, TableError
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS, Result, Status

if TYPE_CHECKING:
    from metabench.tables import Benchmark

__all__ = ["Objective"]


class Objective:
    """A benchmark seen by searches; one objective may serve many runs, as it keeps only what the benchmark said.

    Regret of an architecture is the best seed-mean score of all architectures at the last epoch, minus its own
    seed-mean score there. Where the benchmark gives no seed mean because a replicate failed, the mean of the
    replicates that did not fail stands in.

    Raises:
        TableError: if no architecture of the benchmark has a score.
    """

    def __init__(self, benchmark: Benchmark) -> None:
        self.benchmark = benchmark
        self.space = benchmark.space_definition
        metrics = ("val_score", "test_score")
        codes = self.space.canonical_codes
        scores = np.array(benchmark.query_batch(codes, seed="mean", metrics=metrics), dtype=float)
        holes = ~np.isfinite(scores)
        if holes.any():
            replicates = np.array(
                [benchmark.query_batch(codes, seed=seed, metrics=metrics) for seed in benchmark.seeds]
            )
            known = np.isfinite(replicates)
            count = known.sum(axis=0)
            total = np.where(known, replicates, 0.0).sum(axis=0)
            mean = np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
            scores = np.where(holes, mean, scores)
        if not np.isfinite(scores).any(axis=0).all():
            raise TableError(f"{benchmark.id} has no finished training at its last epoch; build the table first.")
        self._regrets = np.nanmax(scores, axis=0) - scores
        self._results: dict[tuple[Any, int, int], Result] = {}
        self._names: dict[int, str] = {}

    def evaluate(self, config: Any, epoch: int, seed: int) -> Result:
        """The result of one training, with status ``missing`` and no cost where the benchmark has none.

        Raises:
            MetabenchError: if the configuration, epoch or seed is not one of the benchmark's.
        """
        key = (config, epoch, seed)
        result = self._results.get(key)
        if result is None:
            result = self._results[key] = self._query(self.space.code(config), epoch, seed)
        return result

    def _query(self, code: int, epoch: int, seed: int) -> Result:
        try:
            return self.benchmark.query(code, epoch=epoch, seed=seed)  # type: ignore[return-value]
        except MissingResultError:
            nothing = dict.fromkeys((*TRAINING_METRICS, "train_seconds", *ARCHITECTURE_METRICS), math.nan)
            blocks = tuple(self.space.architecture(code).blocks)
            return Result(architecture=blocks, code=code, epoch=epoch, seed=seed, status=Status.MISSING, **nothing)

    def regret(self, code: int) -> tuple[float, float]:
        """Validation and test regret of a canonical code; NaN where no replicate of it has a score."""
        row = self._regrets[self.space.row_of[code]]
        return float(row[0]), float(row[1])

    def name(self, code: int) -> str:
        """The architecture of a canonical code in words (``"mlp.deq,gated.ode"``)."""
        text = self._names.get(code)
        if text is None:
            text = self._names[code] = str(self.space.architecture(code))
        return text
