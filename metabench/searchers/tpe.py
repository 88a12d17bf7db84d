"""Optuna's tree-structured Parzen estimator."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from metabench.errors import OptionalDependencyError
from metabench.searchers.searcher import Searcher, Trial, score
from metabench.seeding import derive, numpy_generator
from metabench.tables.result import Result

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["TPE"]


class TPE(Searcher):
    """The defaults of Optuna's sampler, one categorical parameter a stage, at the last epoch.

    The same architecture may come again, with another replicate. A failed training is told as failed, and the sampler
    passes over it.

    Reference:
        Bergstra et al. (2011), Algorithms for hyper-parameter optimization, NeurIPS; Akiba et al. (2019), Optuna, KDD,
        arXiv:1907.10902.
    """

    slow = True
    seconds_per_trial = 2e-3
    blocks_only = True

    def __init__(self, space: Space, *, epochs: Sequence[int], seeds: Sequence[int], seed: int, trials: int) -> None:
        try:
            import optuna  # pyright: ignore[reportMissingImports]  # an extra
        except ImportError as error:
            raise OptionalDependencyError(
                f"the searcher 'tpe' needs the package optuna ({error}); pip install 'metabench[optuna]'."
            ) from error
        choices = optuna.distributions.CategoricalDistribution(space.blocks)
        self._distributions: dict[str, Any] = {f"stage{stage + 1}": choices for stage in range(space.stages)}
        self._failed = optuna.trial.TrialState.FAIL
        sampler = optuna.samplers.TPESampler(seed=derive("tpe", seed) % 2**32)
        logger = logging.getLogger("optuna")
        level = logger.level
        logger.setLevel(logging.WARNING)  # else it announces every study on stderr
        try:
            self._study = optuna.create_study(direction="maximize", sampler=sampler)
        finally:
            logger.setLevel(level)
        self._space = space
        self._epoch = epochs[-1]
        self._seeds = [int(replicate) for replicate in seeds]
        self._generator = numpy_generator("tpe-replicates", seed)
        self._running: dict[int, Any] = {}
        self._asked = 0

    def ask(self) -> Trial:
        proposal = self._study.ask(self._distributions)
        replicate = self._seeds[int(self._generator.integers(len(self._seeds)))]
        trial = Trial(self._asked, self._space.code(proposal.params), self._epoch, replicate)
        self._asked += 1
        self._running[trial.number] = proposal
        return trial

    def tell(self, trial: Trial, result: Result) -> None:
        proposal, observed = self._running.pop(trial.number), score(result)
        if observed is None:
            self._study.tell(proposal, state=self._failed)
        else:
            self._study.tell(proposal, observed)
