"""Successive halving, and the brackets that Hyperband shares."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, NamedTuple

from metabench.searchers.sampling import NewArchitectures
from metabench.searchers.searcher import Searcher, Trial, score
from metabench.seeding import numpy_generator
from metabench.tables.result import Result

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["Bracket", "BracketQueue", "Job", "SuccessiveHalving", "rung_epochs"]


class Job(NamedTuple):
    """A training to run: architecture, replicate and epoch."""

    code: int
    replicate: int
    epoch: int


def rung_epochs(epochs: Sequence[int], eta: int) -> list[int]:
    """The recorded epochs nearest (in ratio) to last, last / eta, last / eta^2, ... down to the first; ascending.

    Epochs 1, 2, 3, 4, 5, 6, 8, 10, 12, 14, 17, 20 and eta 3 give 2, 6, 20; a single epoch gives itself.
    """
    first, last = epochs[0], epochs[-1]
    wanted = [last / eta**k for k in range(1 + math.floor(math.log(last / first, eta) + 1e-9))]
    return sorted({min(epochs, key=lambda epoch: abs(math.log(epoch / value))) for value in wanted})


class Bracket:
    """Some architectures that climb rungs: when all of a rung are told, the best 1/eta of those at the start go on.

    Failed trainings do not go on, so a rung may have fewer members than its share.
    """

    def __init__(self, members: Sequence[tuple[int, int]], epochs: Sequence[int], eta: int) -> None:
        self._epochs = epochs
        self._shares = [len(members) // eta**k for k in range(len(epochs))]
        self._rung = 0
        self._to_ask = [Job(code, replicate, epochs[0]) for code, replicate in reversed(members)]
        self._running = 0
        self._told: list[tuple[float, Job]] = []

    def next(self) -> Job | None:
        """The next training, or None if there is none before more is told."""
        if not self._to_ask:
            return None
        self._running += 1
        return self._to_ask.pop()

    def tell(self, job: Job, observed: float | None) -> None:
        """Takes in a score, None for a failed training."""
        self._running -= 1
        if observed is not None:
            self._told.append((observed, job))
        if self._running or self._to_ask or self._rung + 1 == len(self._epochs):
            return
        self._rung += 1
        best = sorted(self._told, key=lambda entry: -entry[0])[: self._shares[self._rung]]
        self._told = []
        epoch = self._epochs[self._rung]
        self._to_ask = [Job(job.code, job.replicate, epoch) for _, job in reversed(best)]

    @property
    def done(self) -> bool:
        """Whether nothing is left to ask or to wait for."""
        return not self._to_ask and not self._running


class BracketQueue:
    """Asks and tells for a sequence of brackets: the next one opens when no open one has anything to ask.

    Args:
        new: where members come from.
        eta: of every bracket.
    """

    def __init__(self, new: NewArchitectures, eta: int) -> None:
        self._new = new
        self._eta = eta
        self._open: list[Bracket] = []
        self._running: dict[int, tuple[Bracket, Job]] = {}
        self._asked = 0

    def ask(self, size: int, epochs: Sequence[int]) -> tuple[Trial | None, bool]:
        """The next trial, and whether a bracket of this size and these epochs was opened for it.

        Raises:
            StopIteration: if every architecture was used and every bracket is done.
        """
        opened = False
        self._open = [bracket for bracket in self._open if not bracket.done]
        found = next(((bracket, job) for bracket in self._open if (job := bracket.next())), None)
        if found is None:
            drawn = (self._new.draw() for _ in range(size))
            members = [member for member in drawn if member is not None]
            if not members:
                if self._running:
                    return None, False
                raise StopIteration
            opened = True
            bracket = Bracket(members, epochs, self._eta)
            self._open.append(bracket)
            job = bracket.next()
            assert job is not None  # a new bracket has members
            found = bracket, job
        number = self._asked
        self._asked += 1
        self._running[number] = found
        job = found[1]
        return Trial(number, job.code, job.epoch, job.replicate), opened

    def tell(self, trial: Trial, result: Result) -> None:
        """Hands a result to its bracket."""
        bracket, job = self._running.pop(trial.number)
        bracket.tell(job, score(result))


class SuccessiveHalving(Searcher):
    """Bracket after bracket of eta^k random architectures, k the number of halvings that the epochs allow.

    Of each rung the best 1/eta train on, from their checkpoints. Architectures are drawn without replacement. With
    several workers, a worker that finds nothing to do in the open brackets opens another.

    Reference:
        Jamieson and Talwalkar (2016), Non-stochastic best arm identification and hyperparameter optimization, AISTATS,
        arXiv:1502.07943; eta = 3 as in Li et al. (2018), Hyperband, JMLR 18, arXiv:1603.06560.
    """

    seconds_per_trial = 2e-5

    def __init__(
        self, space: Space, *, epochs: Sequence[int], seeds: Sequence[int], seed: int, trials: int, eta: int = 3
    ) -> None:
        self._epochs = rung_epochs(epochs, eta)
        self._size = eta ** (len(self._epochs) - 1)
        self._queue = BracketQueue(NewArchitectures(space, seeds, numpy_generator("successive-halving", seed)), eta)

    def ask(self) -> Trial | None:
        return self._queue.ask(self._size, self._epochs)[0]

    def tell(self, trial: Trial, result: Result) -> None:
        self._queue.tell(trial, result)
