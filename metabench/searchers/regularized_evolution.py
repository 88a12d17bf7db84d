"""Regularized (aging) evolution."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from typing import TYPE_CHECKING

from metabench.searchers.sampling import first_architectures, neighbours_in
from metabench.searchers.searcher import Searcher, Trial, score
from metabench.seeding import numpy_generator
from metabench.tables.result import Result

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["RegularizedEvolution", "scaled_sizes"]


def scaled_sizes(trials: int) -> tuple[int, int]:
    """Population and tournament for a budget.

    The paper's 100 and 10 suit thousands of trials. A smaller budget takes a fifth of its trials as population (never
    fewer than 10) and a quarter of the population, from 2 to 10, as tournament: 500 trials and more give (100, 10),
    100 give (20, 5), 20 give (10, 2).
    """
    population = max(10, min(100, trials // 5))
    return population, max(2, min(10, population // 4))


class RegularizedEvolution(Searcher):
    """Each child is a one-block mutation of the best of a random tournament; the oldest member dies, not the worst.

    The first generation is drawn at random, without repetition while the space lasts. A failed training joins the
    population with the worst score and is forgotten when it is oldest. The same architecture may come again, with
    another replicate.

    Reference:
        Real et al. (2019), Regularized evolution for image classifier architecture search, AAAI, arXiv:1802.01548.
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
        population: int | None = None,
        tournament: int | None = None,
    ) -> None:
        """Prepares a search; see :class:`Searcher`.

        Args:
            space: as in the base class.
            epochs: likewise.
            seeds: likewise.
            seed: likewise.
            trials: likewise; sets the sizes that are None.
            population: members kept; None takes :func:`scaled_sizes`.
            tournament: members compared, drawn with replacement; None takes :func:`scaled_sizes`.
        """
        default_population, default_tournament = scaled_sizes(trials)
        self._size = population or default_population
        self._tournament = tournament or default_tournament
        self._generator = numpy_generator("regularized-evolution", seed)
        self._replicates = [int(replicate) for replicate in seeds]
        self._neighbours = neighbours_in(space)
        self._epoch = epochs[-1]
        self._first: deque[int] = deque(first_architectures(space, self._size, self._generator))
        self._members: deque[tuple[float, int]] = deque(maxlen=self._size)
        self._asked = 0

    def ask(self) -> Trial:
        number = self._asked
        self._asked += 1
        draws = self._generator.random(self._tournament + 2).tolist()  # one call: a scalar draw costs as much as ten
        if self._first:
            code = self._first.popleft()
        else:
            # no members if all of the first generation was asked for before any was told
            members = self._members or [(0.0, self._last)]
            count = len(members)
            parent = max([members[int(draw * count)] for draw in draws[2:]], key=_score_of)[1]
            neighbours = self._neighbours(parent)
            code = neighbours[int(draws[0] * len(neighbours))] if neighbours else parent
        self._last = code
        return Trial(number, code, self._epoch, self._replicates[int(draws[1] * len(self._replicates))])

    def tell(self, trial: Trial, result: Result) -> None:
        observed = score(result)
        self._members.append((float("-inf") if observed is None else observed, int(trial.config)))  # type: ignore[arg-type]


def _score_of(member: tuple[float, int]) -> float:
    return member[0]
