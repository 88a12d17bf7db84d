"""Hyperband: successive halving from several starting epochs in turn."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import cycle
from typing import TYPE_CHECKING

from metabench.searchers.sampling import NewArchitectures
from metabench.searchers.searcher import Searcher, Trial
from metabench.searchers.successive_halving import BracketQueue, rung_epochs
from metabench.seeding import numpy_generator
from metabench.tables.result import Result

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["Hyperband", "bracket_sizes"]


def bracket_sizes(rungs: int, eta: int) -> list[int]:
    """Architectures of each bracket, the one that starts lowest first: ceil((s_max + 1) / (s + 1) eta^s).

    Three rungs and eta 3 give 9, 5, 3: nearly the same number of epochs in each bracket.
    """
    return [math.ceil(rungs * eta**s / (s + 1)) for s in range(rungs - 1, -1, -1)]


class Hyperband(Searcher):
    """Cycles through brackets of successive halving that start at ever higher epochs with ever fewer architectures.

    Reference:
        Li et al. (2018), Hyperband: a novel bandit-based approach to hyperparameter optimization, JMLR 18,
        arXiv:1603.06560 (algorithm 1).
    """

    seconds_per_trial = 2e-5

    def __init__(
        self, space: Space, *, epochs: Sequence[int], seeds: Sequence[int], seed: int, trials: int, eta: int = 3
    ) -> None:
        rungs = rung_epochs(epochs, eta)
        sizes = bracket_sizes(len(rungs), eta)
        self._plans = cycle([(size, rungs[first:]) for first, size in enumerate(sizes)])
        self._plan = next(self._plans)
        self._queue = BracketQueue(NewArchitectures(space, seeds, numpy_generator("hyperband", seed)), eta)

    def ask(self) -> Trial | None:
        trial, opened = self._queue.ask(*self._plan)
        if opened:
            self._plan = next(self._plans)
        return trial

    def tell(self, trial: Trial, result: Result) -> None:
        self._queue.tell(trial, result)
