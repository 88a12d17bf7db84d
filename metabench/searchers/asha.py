"""ASHA: successive halving that never waits."""

from __future__ import annotations

from bisect import bisect_left, insort
from collections.abc import Sequence
from heapq import heappop, heappush
from typing import TYPE_CHECKING

from metabench.searchers.sampling import NewArchitectures
from metabench.searchers.searcher import Searcher, Trial, score
from metabench.searchers.successive_halving import Job, rung_epochs
from metabench.seeding import numpy_generator
from metabench.tables.result import Result

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["ASHA", "Rung"]

_FAILED = float("inf")


class Rung:
    """The trainings that finished one epoch of the ladder; scores are negated, so that the best comes first."""

    def __init__(self, eta: int) -> None:
        self._eta = eta
        self._all: list[tuple[float, int]] = []  # (negated score, order of telling), sorted
        self._waiting: list[tuple[float, int, Job]] = []  # heap of those that were not promoted

    def tell(self, job: Job, observed: float | None) -> None:
        """Takes in a score, None for a failed training: it counts, but is never promoted."""
        order = len(self._all)
        cost = _FAILED if observed is None else -observed
        insort(self._all, (cost, order))
        if observed is not None:
            heappush(self._waiting, (cost, order, job))

    def promote(self) -> Job | None:
        """The best training that was not promoted, if it is among the best 1/eta of the rung so far."""
        if not self._waiting:
            return None
        cost, order, job = self._waiting[0]
        if bisect_left(self._all, (cost, order)) >= len(self._all) // self._eta:
            return None
        heappop(self._waiting)
        return job


class ASHA(Searcher):
    """Promotes to the highest rung that has a candidate in its best 1/eta, else starts a random architecture.

    Architectures are drawn without replacement; when all are used and none may be promoted, the search ends.

    Reference:
        Li et al. (2020), A system for massively parallel hyperparameter tuning, MLSys, arXiv:1810.05934 (algorithm 2).
    """

    seconds_per_trial = 2e-5

    def __init__(
        self, space: Space, *, epochs: Sequence[int], seeds: Sequence[int], seed: int, trials: int, eta: int = 3
    ) -> None:
        self._new = NewArchitectures(space, seeds, numpy_generator("asha", seed))
        self._epochs = rung_epochs(epochs, eta)
        self._rungs = [Rung(eta) for _ in self._epochs]
        self._running: dict[int, tuple[int, Job]] = {}
        self._asked = 0

    def ask(self) -> Trial | None:
        rung, job = self._next()
        if job is None:
            if self._running:
                return None
            raise StopIteration
        number = self._asked
        self._asked += 1
        self._running[number] = rung, job
        return Trial(number, job.code, job.epoch, job.replicate)

    def _next(self) -> tuple[int, Job | None]:
        for rung in range(len(self._rungs) - 1, 0, -1):
            below = self._rungs[rung - 1].promote()
            if below is not None:
                return rung, Job(below.code, below.replicate, self._epochs[rung])
        drawn = self._new.draw()
        return 0, None if drawn is None else Job(*drawn, self._epochs[0])

    def tell(self, trial: Trial, result: Result) -> None:
        rung, job = self._running.pop(trial.number)
        self._rungs[rung].tell(job, score(result))
