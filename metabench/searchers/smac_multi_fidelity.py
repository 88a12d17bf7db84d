"""SMAC's multi-fidelity facade: Hyperband whose new configurations come from a random forest."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metabench.searchers.searcher import Searcher, Trial, score
from metabench.searchers.smac_facade import SmacFacade
from metabench.searchers.successive_halving import rung_epochs
from metabench.seeding import derive, numpy_generator
from metabench.tables.result import Result

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["SmacMultiFidelity"]

_ETA = 3  # the facade's default


class SmacMultiFidelity(Searcher):
    """The facade's defaults, with epochs as budgets, ``deterministic=True`` and a forest on one core.

    SMAC's budgets last / 3^k become the nearest recorded epochs. An architecture keeps its replicate, so that a
    promotion goes on from its checkpoint. SMAC knows configurations, not canonical architectures, so two that differ
    only by where a skip stands may both be asked for.

    Reference:
        Lindauer et al. (2022), SMAC3: a versatile Bayesian optimization package, JMLR 23, arXiv:2109.09831; the idea
        is that of Falkner et al. (2018), BOHB, ICML, arXiv:1807.01774.
    """

    slow = True
    seconds_per_trial = 0.06  # several trials in a budget of one

    def __init__(self, space: Space, *, epochs: Sequence[int], seeds: Sequence[int], seed: int, trials: int) -> None:
        self._rungs = rung_epochs(epochs, _ETA)
        last = float(epochs[-1])
        halvings = len(self._rungs) - 1
        self._smac = SmacFacade(
            "MultiFidelityFacade",
            space,
            seed=derive("smac-multi-fidelity", seed) % 2**31,
            trials=trials,
            searcher="smac-multi-fidelity",
            budgets=(last / _ETA**halvings * (1 - 1e-9), last),  # SMAC rounds the number of halvings down
        )
        self._space = space
        self._seeds = [int(replicate) for replicate in seeds]
        self._replicates: dict[int, int] = {}
        self._generator = numpy_generator("smac-replicates", seed)
        self._asked = 0
        self._running: dict[int, Any] = {}

    def ask(self) -> Trial:
        info = self._smac.ask()
        code = self._space.code(info.config)
        replicate = self._replicates.get(code)
        if replicate is None:
            replicate = self._replicates[code] = self._seeds[int(self._generator.integers(len(self._seeds)))]
        epoch = min(self._rungs, key=lambda rung: abs(math.log(rung / info.budget)))
        trial = Trial(self._asked, code, epoch, replicate)
        self._asked += 1
        self._running[trial.number] = info
        return trial

    def tell(self, trial: Trial, result: Result) -> None:
        self._smac.tell(self._running.pop(trial.number), score(result), result.train_seconds)
