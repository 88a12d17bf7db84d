"""SMAC: Bayesian optimization with a random forest (its hyperparameter-optimization facade)."""

from __future__ import annotations

import logging
import tempfile
import uuid
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabench.errors import OptionalDependencyError
from metabench.searchers.searcher import Searcher, Trial, score
from metabench.seeding import derive, numpy_generator
from metabench.tables.result import Result

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["SmacSearch"]

_MOST_RETRIES = 10_000


class SmacSearch(Searcher):
    """The facade's defaults, but ``deterministic=True`` (one trial an architecture) and a forest on one core.

    The cost is ``1 - val_score``; a failed training costs as much as a score of 0, or as the worst seen if that is
    worse. SMAC knows configurations, not canonical architectures, so two that differ only by where a skip stands may
    both be asked for.

    Reference:
        Lindauer et al. (2022), SMAC3: a versatile Bayesian optimization package, JMLR 23, arXiv:2109.09831.
    """

    slow = True
    seconds_per_trial = 0.14

    def __init__(self, space: Space, *, epochs: Sequence[int], seeds: Sequence[int], seed: int, trials: int) -> None:
        smac_seed = derive("smac", seed) % 2**31
        self._space = space
        self._epoch = epochs[-1]
        self._replicates = [int(replicate) for replicate in seeds]
        self._generator = numpy_generator("smac-replicates", seed)
        self._asked = 0
        self._worst_cost = 1.0
        self._pending: dict[int, Any] = {}
        self._facade, self._exhausted, self._value = _build_facade(space, smac_seed, trials)

    def ask(self) -> Trial:
        try:
            info = self._facade.ask()
        except self._exhausted as error:
            raise StopIteration from error
        trial = Trial(
            self._asked,
            self._space.code(info.config),
            self._epoch,
            self._replicates[int(self._generator.integers(len(self._replicates)))],
        )
        self._asked += 1
        self._pending[trial.number] = info
        return trial

    def tell(self, trial: Trial, result: Result) -> None:
        observed = score(result)
        cost = self._worst_cost if observed is None else 1.0 - observed
        self._worst_cost = max(self._worst_cost, cost)
        seconds = result.train_seconds if result.train_seconds > 0 else 0.0  # also when it is NaN
        self._facade.tell(self._pending.pop(trial.number), self._value(cost=cost, time=seconds), save=False)


def _build_facade(space: Space, seed: int, trials: int) -> tuple[Any, tuple[type[BaseException], ...], Any]:
    """Returns the facade, what it raises when the space is exhausted, and the type of a told value."""
    try:
        from smac import HyperparameterOptimizationFacade, Scenario
        from smac.main.exceptions import ConfigurationSpaceExhaustedException
        from smac.model.random_forest import RandomForest
        from smac.runhistory import TrialValue
    except ImportError as error:
        raise OptionalDependencyError(
            f"the searcher 'smac' needs the package smac ({error}); pip install smac."
        ) from error
    logger = logging.getLogger("smac")
    if logger.level == logging.NOTSET:  # leave a level that the user chose
        logger.setLevel(logging.ERROR)
    # SMAC wants a folder when it is built and, as nothing is saved, never again.
    with tempfile.TemporaryDirectory(prefix="metabench-smac-") as folder:
        scenario = Scenario(
            space.configuration_space(seed=seed),
            name=uuid.uuid4().hex,
            output_directory=Path(folder),
            deterministic=True,
            n_trials=trials,
            seed=seed,
        )
        # The facade's get_model has no n_jobs: the same forest, without threads that sleep in joblib.
        model = RandomForest(
            configspace=scenario.configspace,
            instance_features=scenario.instance_features,
            seed=seed,
            log_y=True,
            n_trees=10,
            bootstrapping=True,
            ratio_features=1.0,
            min_samples_split=2,
            min_samples_leaf=1,
            max_depth=2**20,
            n_jobs=1,
        )
        # By default SMAC gives up after 16 repeated proposals in a row, long before a small space is exhausted.
        retries = min(_MOST_RETRIES, 20 * space.size)
        selector = HyperparameterOptimizationFacade.get_config_selector(scenario, retries=retries)
        facade = HyperparameterOptimizationFacade(
            scenario, model=model, config_selector=selector, logging_level=False, overwrite=True
        )
    return facade, (StopIteration, ConfigurationSpaceExhaustedException), TrialValue
