"""SMAC: Bayesian optimization with a random forest (its hyperparameter-optimization facade)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metabench.searchers.searcher import Searcher, Trial, score
from metabench.searchers.smac_facade import SmacFacade
from metabench.seeding import derive, numpy_generator
from metabench.tables.result import Result

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["SmacSearch"]


class SmacSearch(Searcher):
    """The facade's defaults, but ``deterministic=True`` (one trial an architecture) and a forest on one core.

    Two faults are mended that change no setting, see :mod:`metabench.searchers.smac_facade`. SMAC knows configurations,
    not canonical architectures, so two that differ only by where a skip stands may both be asked for.

    Reference:
        Lindauer et al. (2022), SMAC3: a versatile Bayesian optimization package, JMLR 23, arXiv:2109.09831.
    """

    slow = True
    seconds_per_trial = 0.03

    def __init__(self, space: Space, *, epochs: Sequence[int], seeds: Sequence[int], seed: int, trials: int) -> None:
        self._smac = SmacFacade(
            "HyperparameterOptimizationFacade",
            space,
            seed=derive("smac", seed) % 2**31,
            trials=trials,
            searcher="smac",
        )
        self._space = space
        self._epoch = epochs[-1]
        self._replicates = [int(replicate) for replicate in seeds]
        self._generator = numpy_generator("smac-replicates", seed)
        self._asked = 0
        self._running: dict[int, Any] = {}

    def ask(self) -> Trial:
        info = self._smac.ask()
        replicate = self._replicates[int(self._generator.integers(len(self._replicates)))]
        trial = Trial(self._asked, self._space.code(info.config), self._epoch, replicate)
        self._asked += 1
        self._running[trial.number] = info
        return trial

    def tell(self, trial: Trial, result: Result) -> None:
        self._smac.tell(self._running.pop(trial.number), score(result), result.train_seconds)
