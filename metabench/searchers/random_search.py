"""Random search without replacement."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

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
        generator = numpy_generator("random", seed)
        self._codes = generator.permutation(space.canonical_codes)
        self._replicates = generator.choice(list(seeds), size=len(self._codes))
        self._epoch = epochs[-1]
        self._asked = 0

    def ask(self) -> Trial:
        number = self._asked
        if number >= len(self._codes):
            raise StopIteration
        self._asked += 1
        return Trial(number, int(self._codes[number]), self._epoch, int(self._replicates[number]))

    def tell(self, trial: Trial, result: Result) -> None:
        pass
