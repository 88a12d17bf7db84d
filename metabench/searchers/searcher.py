"""What a searcher is: ``ask`` for a trial, ``tell`` its result."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from metabench.tables.result import Result, Status

if TYPE_CHECKING:
    from ConfigSpace import Configuration

    from metabench.spaces import Space

__all__ = ["Searcher", "Trial", "score"]

_USABLE = (Status.OK, Status.UNCONVERGED)


@dataclass(frozen=True, slots=True)
class Trial:
    """One training that a searcher asks for.

    Attributes:
        number: counts from 0 in the order of asking.
        config: canonical integer code, or a configuration where a space has no finite code.
        epoch: fidelity, one of the benchmark's epochs. A trial of the same config and seed as an earlier one at a
            higher epoch goes on from its checkpoint.
        seed: replicate, one of the benchmark's seeds.
    """

    number: int
    config: int | Configuration
    epoch: int
    seed: int


class Searcher(ABC):
    """A search strategy; it never sees test scores' regret, other searchers, or global random state.

    What it does must follow from its arguments and from what it was asked and told, in that order: then a search is
    the same on every machine, and :func:`metabench.searchers.journal.replay` restores its state from a file.

    Class attributes:
        slow: whether one trial costs milliseconds or more; slow searchers run in processes of their own.
        seconds_per_trial: rough own cost of one trial (seconds), for ``--dry-run``.
        needs_other_tasks: whether it learns from other tasks of the same space. Its constructor then takes ``others``,
            seed-mean validation scores at the last epoch, task -> (n_architectures,) in the order of
            ``space.canonical_codes``, NaN where unknown; the task to search is never among them.
        blocks_only: whether it sees an architecture as its blocks alone, or lists all of them: then it cannot search a
            joint space.
    """

    slow: ClassVar[bool] = False
    seconds_per_trial: ClassVar[float] = 5e-5
    needs_other_tasks: ClassVar[bool] = False
    blocks_only: ClassVar[bool] = False

    @abstractmethod
    def __init__(self, space: Space, *, epochs: Sequence[int], seeds: Sequence[int], seed: int, trials: int) -> None:
        """Prepares a search.

        Args:
            space: the search space.
            epochs: the fidelities that may be asked for, ascending.
            seeds: the replicates that may be asked for.
            seed: of every random choice of this searcher.
            trials: budget in full trainings, to the last epoch; a searcher need not heed it.
        """

    @abstractmethod
    def ask(self) -> Trial | None:
        """The next trial, or None if the result of one that is still running must be told first.

        Raises:
            StopIteration: if nothing is left to ask, whatever may still be told.
        """

    @abstractmethod
    def tell(self, trial: Trial, result: Result) -> None:
        """Takes in what became of a trial; ``result.status`` may be ``diverged`` or ``missing``, its scores NaN.

        With several workers trials are told in the order in which they finish, each once.
        """


def score(result: Result) -> float | None:
    """The validation score that a search may select on, or None if the training failed or is missing."""
    if result.status in _USABLE and math.isfinite(result.val_score):
        return result.val_score
    return None
