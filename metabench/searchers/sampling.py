"""Where searchers get architectures from: new ones at random, and neighbours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["NewArchitectures", "neighbours_in"]

# Listing neighbours costs more than all else in a trial, and every run on a space wants the same lists.
_known: WeakKeyDictionary[Space, dict[int, list[int]]] = WeakKeyDictionary()


class NewArchitectures:
    """The canonical architectures in a random order, each once.

    Args:
        space: the search space.
        seeds: replicates; each architecture gets one of them at random.
        generator: consumed here, not later.
    """

    def __init__(self, space: Space, seeds: Sequence[int], generator: np.random.Generator) -> None:
        self._codes: list[int] = generator.permutation(space.canonical_codes).tolist()
        self._replicates: list[int] = generator.choice(list(seeds), size=len(self._codes)).tolist()
        self._place = 0
        self._taken: set[int] = set()

    def take(self, code: int) -> None:
        """Marks an architecture as used, so that it is not drawn."""
        self._taken.add(code)

    def taken(self, code: int) -> bool:
        """Whether it was drawn or marked."""
        return code in self._taken

    def draw(self) -> tuple[int, int] | None:
        """A code that was neither drawn nor taken, and a replicate; None if there is none left."""
        while self._place < len(self._codes):
            place = self._place
            self._place += 1
            code = self._codes[place]
            if code not in self._taken:
                self._taken.add(code)
                return code, self._replicates[place]
        return None


def neighbours_in(space: Space) -> Callable[[int], list[int]]:
    """A function from a canonical code to those one block away, ascending; it remembers its answers for the space."""
    known = _known.setdefault(space, {})

    def neighbours(code: int) -> list[int]:
        found = known.get(code)
        if found is None:
            found = known[code] = space.neighbours(code).tolist()
        return found

    return neighbours
