"""One search: ask, evaluate, tell, and keep the incumbent."""

from __future__ import annotations

import math
from time import perf_counter
from typing import Any

from metabench.searchers.objective import Objective
from metabench.searchers.searcher import Searcher, score

__all__ = ["run_loop"]


def run_loop(searcher: Searcher, objective: Objective, trials: int) -> list[dict[str, Any]]:
    """Runs a searcher until its trials are spent or the space is exhausted.

    The incumbent is the architecture of the best observed validation score; its regret, which no searcher sees, is
    computed from seed means.

    Args:
        searcher: fresh; seeded by its maker.
        objective: the benchmark.
        trials: at most so many.

    Returns:
        One dict a trial, ready for JSON: ``number``, ``code``, ``architecture``, ``epoch``, ``seed``, ``val_score``
        (None if the training failed), ``status``, ``simulated_seconds`` (the recorded training cost of this and all
        earlier trials), ``overhead_seconds`` (the searcher's own wall-clock seconds in ``ask`` and ``tell``, of this
        and all earlier trials), ``incumbent`` (code), ``val_regret`` and ``test_regret`` of the incumbent (all three
        None before any training succeeded).
    """
    records: list[dict[str, Any]] = []
    simulated = overhead = 0.0
    incumbent: int | None = None
    best = -math.inf
    val_regret: float | None = None
    test_regret: float | None = None
    for _ in range(trials):
        start = perf_counter()
        try:
            trial = searcher.ask()
        except StopIteration:
            break
        overhead += perf_counter() - start
        result = objective.evaluate(trial.config, trial.epoch, trial.seed)
        start = perf_counter()
        searcher.tell(trial, result)
        overhead += perf_counter() - start
        if math.isfinite(result.train_seconds):
            simulated += result.train_seconds
        observed = score(result)
        if observed is not None and observed > best:
            best, incumbent = observed, result.code
            val_regret, test_regret = map(_finite_or_none, objective.regret(incumbent))
        records.append(
            {
                "number": trial.number,
                "code": result.code,
                "architecture": objective.name(result.code),
                "epoch": trial.epoch,
                "seed": trial.seed,
                "val_score": None if observed is None else float(observed),
                "status": str(result.status.value),
                "simulated_seconds": float(simulated),
                "overhead_seconds": overhead,
                "incumbent": incumbent,
                "val_regret": val_regret,
                "test_regret": test_regret,
            }
        )
    return records


def _finite_or_none(value: float) -> float | None:
    return value if math.isfinite(value) else None
