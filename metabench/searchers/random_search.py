"""Random search without replacement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from metabench.searchers.sampling import NewArchitectures
from metabench.searchers.searcher import Searcher, Trial
from metabench.seeding import numpy_generator
from metabench.tables.result import Result

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["RandomSearch"]


class RandomSearch(Searcher):
    """Visits the canonical architectures in a random order, each once, at the last epoch.

    Reference:
        Bergstra and Bengio (2012), Random search for hyper-parameter optimization, JMLR 13.
    """

    seconds_per_trial = 1e-5

    def __init__(self, space: Space, *, epochs: Sequence[int], seeds: Sequence[int], seed: int, trials: int) -> None:
        self._new = NewArchitectures(space, seeds, numpy_generator("random", seed))
        self._epoch = epochs[-1]
        self._asked = 0

    def ask(self) -> Trial:
        drawn = self._new.draw()
        if drawn is None:
            raise StopIteration
        number = self._asked
        self._asked += 1
        return Trial(number, drawn[0], self._epoch, drawn[1])

    def tell(self, trial: Trial, result: Result) -> None:
        pass
