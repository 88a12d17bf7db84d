"""Local search: hill climbing over one-block neighbours, with restarts."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from metabench.searchers.sampling import NewArchitectures, neighbours_in
from metabench.searchers.searcher import Searcher, Trial, score
from metabench.seeding import numpy_generator
from metabench.tables.result import Result

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["LocalSearch"]

_FAILED = float("-inf")


class LocalSearch(Searcher):
    """Tries all neighbours of the best of its starts, moves to the best of them, and starts anew when none is better.

    Every architecture is asked for once, at the last epoch, with a random replicate; a neighbour that was tried
    before counts with the score it had, and a failed one as the worst. A start is a random architecture that was not
    tried yet. With several workers, those that find the neighbourhood all running wait.

    Reference:
        White, Nolen and Savani (2021), Exploring the loss landscape in neural architecture search, UAI,
        arXiv:2005.02960 (algorithm 1).
    """

    seconds_per_trial = 2e-5

    def __init__(
        self,
        space: Space,
        *,
        epochs: Sequence[int],
        seeds: Sequence[int],
        seed: int,
        trials: int,
        starts: Sequence[int] = (),
    ) -> None:
        """Prepares a search; see :class:`Searcher`.

        Args:
            space: as in the base class.
            epochs: likewise.
            seeds: likewise.
            seed: likewise.
            trials: not used.
            starts: canonical codes to try first, in this order; the first climb begins at the best of them.
        """
        self._generator = numpy_generator("local-search", seed)
        self._new = NewArchitectures(space, seeds, self._generator)
        self._seeds = [int(replicate) for replicate in seeds]
        self._neighbours = neighbours_in(space)
        self._epoch = epochs[-1]
        self._scores: dict[int, float] = {}  # of all that was told
        self._running: set[int] = set()
        self._candidates: list[int] = []  # starts, or the whole neighbourhood of the current architecture
        self._to_ask: deque[int] = deque()
        self._current: float | None = None  # score of the current architecture; None before the first climb
        self._asked = 0
        self._set_candidates(list(dict.fromkeys(starts)))

    def _set_candidates(self, codes: list[int]) -> None:
        self._candidates = codes
        self._to_ask = deque(code for code in codes if code not in self._scores)

    def ask(self) -> Trial | None:
        while not self._to_ask:
            if self._running:
                return None
            self._move()
        code = self._to_ask.popleft()
        number = self._asked
        self._asked += 1
        self._running.add(code)
        self._new.take(code)
        return Trial(number, code, self._epoch, self._seeds[int(self._generator.integers(len(self._seeds)))])

    def _move(self) -> None:
        """Goes on when all candidates are known: to the best one, or to a new start."""
        best = max(self._candidates, key=self._scores.__getitem__, default=None)
        if best is not None and (self._current is None or self._scores[best] > self._current):
            self._current = self._scores[best]
            neighbours = self._neighbours(best)
            order = self._generator.permutation(len(neighbours)).tolist()
            self._set_candidates([neighbours[place] for place in order])
            return
        drawn = self._new.draw()
        if drawn is None:
            raise StopIteration
        self._current = None
        self._set_candidates([drawn[0]])

    def tell(self, trial: Trial, result: Result) -> None:
        observed = score(result)
        code = int(trial.config)  # type: ignore[arg-type]  # this searcher asks by code
        self._scores[code] = _FAILED if observed is None else observed
        self._running.discard(code)
