"""One search on a simulated clock: ask, evaluate, wait, tell, and keep the incumbent."""

from __future__ import annotations

import math
from heapq import heappop, heappush
from time import perf_counter
from typing import Any, NamedTuple

from metabench.errors import SearcherError
from metabench.searchers.objective import Objective, Standing
from metabench.searchers.searcher import Searcher, Trial, score
from metabench.searchers.settings import Settings, charge_by
from metabench.tables.result import Result

__all__ = ["run_loop"]


class _Job(NamedTuple):
    """A training that runs; jobs finish in this order. The trial's number is unique, so no later field is compared."""

    finish: float
    number: int
    trial: Trial
    result: Result
    seconds: float
    resumed: int
    start: float
    worker: int


def run_loop(
    searcher: Searcher, objective: Objective, trials: int, settings: Settings | None = None
) -> list[dict[str, Any]]:
    """Runs a searcher until its budget is spent or nothing is left to ask.

    An event queue: every free worker asks as soon as it is free, and a training is told when it ends on the simulated
    clock. Results are looked up at once, so the order, and all but the measured overhead, depends on nothing outside.

    Args:
        searcher: fresh; seeded by its maker.
        objective: the benchmark.
        trials: budget in full trainings.
        settings: workers and costs; None takes the defaults.

    Returns:
        One dict a trial in the order of finishing, ready for JSON; ``README.md`` beside this file says what is in it.

    Raises:
        SearcherError: if the searcher waits for a result while no training runs.
    """
    settings = settings or Settings()
    charge = charge_by(settings.clock, objective)
    last_epoch = objective.epochs[-1]
    epochs_left = trials * last_epoch
    continues = settings.promotions == "continue"
    ask, tell, evaluate = searcher.ask, searcher.tell, objective.evaluate
    ledger = _Ledger(objective)
    idle = list(range(settings.sim_workers))
    running: list[_Job] = []
    now = overhead = 0.0
    epochs_done = 0
    asking = True
    while True:
        while asking and idle:
            begin = perf_counter()
            try:
                trial = ask()
            except StopIteration:
                asking = False
                break
            overhead += perf_counter() - begin
            if trial is None:
                if not running:
                    raise SearcherError("the searcher waits for a result, but no training runs; return a trial.")
                break
            result = evaluate(trial.config, trial.epoch, trial.seed)
            checkpoint = ledger.finished.get((result.code, trial.seed)) if continues else None
            if checkpoint is not None and checkpoint.epoch >= trial.epoch:
                checkpoint = None
            resumed = 0 if checkpoint is None else checkpoint.epoch
            if trial.epoch - resumed > epochs_left:
                asking = False
                break
            epochs_left -= trial.epoch - resumed
            seconds = charge(result, checkpoint)
            job = _Job(now + seconds, trial.number, trial, result, seconds, resumed, now, heappop(idle))
            heappush(running, job)
        if not running:
            return ledger.records
        job = heappop(running)
        now = job.finish
        heappush(idle, job.worker)
        begin = perf_counter()
        tell(job.trial, job.result)
        overhead += perf_counter() - begin
        epochs_done += job.trial.epoch - job.resumed
        ledger.enter(job, epochs_done / last_epoch, overhead)


class _Ledger:
    """The lines of a run, and its incumbent.

    The score of a training is the one at its highest epoch. A training that is continued and gets worse can so lose
    its place to another.
    """

    def __init__(self, objective: Objective) -> None:
        self.records: list[dict[str, Any]] = []
        self.finished: dict[tuple[int, int], Result] = {}  # (code, replicate) -> its result at the highest epoch
        self._objective = objective
        self._best = -math.inf
        self._incumbent: tuple[int, int] | None = None
        self._standing = Standing(None, None, None, None)

    def enter(self, job: _Job, evaluations: float, overhead: float) -> None:
        trial, result = job.trial, job.result
        observed = score(result)
        self._update((result.code, trial.seed), result, -math.inf if observed is None else observed)
        standing = self._standing
        self.records.append(
            {
                "number": trial.number,
                "code": result.code,
                "architecture": self._objective.name(result.code),
                "epoch": trial.epoch,
                "seed": trial.seed,
                "val_score": None if observed is None else float(observed),
                "status": result.status.value,
                "simulated_seconds": float(job.finish),
                "overhead_seconds": overhead,
                "incumbent": None if self._incumbent is None else self._incumbent[0],
                "val_regret": standing.val_regret,
                "test_regret": standing.test_regret,
                "evaluations": evaluations,
                "resumed_epoch": job.resumed,
                "train_seconds": float(job.seconds),
                "started_seconds": float(job.start),
                "worker": job.worker,
                "incumbent_val_score": standing.val_score,
                "incumbent_test_score": standing.test_score,
            }
        )

    def _update(self, key: tuple[int, int], result: Result, observed: float) -> None:
        before = self.finished.get(key)
        if before is not None and before.epoch > result.epoch:
            return
        self.finished[key] = result
        if observed > self._best:
            self._seat(key, observed)
        elif key == self._incumbent and observed < self._best:
            scores = {other: score(finished) for other, finished in self.finished.items()}
            known = {other: value for other, value in scores.items() if value is not None}
            best = max(known, key=known.__getitem__, default=None)
            self._seat(best, -math.inf if best is None else known[best])

    def _seat(self, key: tuple[int, int] | None, observed: float) -> None:
        self._incumbent, self._best = key, observed
        self._standing = (
            Standing(None, None, None, None) if key is None else self._objective.standing(self.finished[key])
        )
