"""Builds SMAC's facades for ask and tell: no files, no threads, no questions, and its own defaults otherwise.

Two faults of SMAC 2.4.1 are mended here: its trees allocate two million nodes each, and its acquisition maximizer
depends on Python's hash of strings.
"""

from __future__ import annotations

import logging
import tempfile
import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabench.errors import OptionalDependencyError

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["SmacFacade"]

_MOST_RETRIES = 10_000
_MOST_LEAVES = 2**14  # a tree has at most one a trial, so that this changes no tree; SMAC's 2^20 costs 0.1 s a forest


class SmacFacade:
    """One optimizer of SMAC.

    The cost is ``1 - val_score``; a failed training costs as much as a score of 0, or as the worst seen if that is
    worse.

    Args:
        facade: name of a class of ``smac``.
        space: the search space.
        seed: of SMAC.
        trials: SMAC sizes its initial design by it.
        searcher: registered name, for messages.
        budgets: lowest and highest fidelity of a multi-fidelity facade.
    """

    def __init__(
        self,
        facade: str,
        space: Space,
        *,
        seed: int,
        trials: int,
        searcher: str,
        budgets: tuple[float, float] | None = None,
    ) -> None:
        try:
            import smac
            from smac.main.exceptions import ConfigurationSpaceExhaustedException
            from smac.model.random_forest import RandomForest
            from smac.runhistory import TrialValue
        except ImportError as error:
            raise OptionalDependencyError(
                f"the searcher {searcher!r} needs the package smac ({error}); pip install smac."
            ) from error
        logger = logging.getLogger("smac")
        if logger.level == logging.NOTSET:  # leave a level that the user chose
            logger.setLevel(logging.ERROR)
        self._value = TrialValue
        self._exhausted = (StopIteration, ConfigurationSpaceExhaustedException)
        self._worst_cost = 1.0
        maker = getattr(smac, facade)
        fidelities: dict[str, Any] = {} if budgets is None else {"min_budget": budgets[0], "max_budget": budgets[1]}
        # SMAC wants a folder when it is built and, as nothing is saved, never again.
        with tempfile.TemporaryDirectory(prefix="metabench-smac-") as folder:
            scenario = smac.Scenario(
                space.configuration_space(seed=seed),
                name=uuid.uuid4().hex,
                output_directory=Path(folder),
                deterministic=True,
                n_trials=trials,
                seed=seed,
                **fidelities,
            )
            # The facade's get_model has no n_jobs and no max_leaf_nodes: the same forest, without threads that sleep in
            # joblib, and without the 2^21 nodes that scikit-learn would allocate for every tree at once.
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
                max_leaf_nodes=_MOST_LEAVES,
                n_jobs=1,
            )
            # By default SMAC gives up after 16 repeated proposals in a row, long before a small space is exhausted.
            retries = min(_MOST_RETRIES, 20 * space.size)
            selector = maker.get_config_selector(scenario, retries=retries)
            maximizer = maker.get_acquisition_maximizer(scenario)
            _start_in_order(maximizer._local_search)
            self.facade = maker(
                scenario,
                model=model,
                acquisition_maximizer=maximizer,
                config_selector=selector,
                logging_level=False,
                overwrite=True,
            )

    def ask(self) -> Any:
        """SMAC's next trial: ``config``, and ``budget`` of a multi-fidelity facade.

        Raises:
            StopIteration: if SMAC finds no new configuration.
        """
        try:
            return self.facade.ask()
        except self._exhausted as error:
            raise StopIteration from error

    def tell(self, info: Any, observed: float | None, seconds: float) -> None:
        """Takes in a score, None for a failed training, and what the training cost."""
        cost = self._worst_cost if observed is None else 1.0 - observed
        self._worst_cost = max(self._worst_cost, cost)
        seconds = seconds if seconds > 0 else 0.0  # also when it is NaN
        self.facade.tell(info, self._value(cost=cost, time=seconds), save=False)


def _start_in_order(local_search: Any) -> None:
    """Makes the local search of the acquisition function start from its points in an order of their own.

    SMAC 2.4.1 takes them out of a set, whose order follows Python's hash of strings: equal seeds would give other
    searches in every process.
    """
    starts_of = local_search._get_init_points_from_previous_configs

    def ordered(*args: Any, **kwargs: Any) -> list[Any]:
        return sorted(starts_of(*args, **kwargs), key=lambda config: tuple(config.get_array()))

    local_search._get_init_points_from_previous_configs = ordered
