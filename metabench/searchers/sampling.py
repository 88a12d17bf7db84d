"""Where searchers get architectures from: new ones at random, and neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["NewArchitectures", "neighbours_in"]

_CHUNK = 1024

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
        codes = generator.permutation(space.canonical_codes)
        self._pairs = _in_pairs(codes, generator.choice(list(seeds), size=len(codes)))
        self._taken: set[int] = set()

    def take(self, code: int) -> None:
        """Marks an architecture as used, so that it is not drawn."""
        self._taken.add(code)

    def taken(self, code: int) -> bool:
        """Whether it was drawn or marked."""
        return code in self._taken

    def draw(self) -> tuple[int, int] | None:
        """A code that was neither drawn nor taken, and a replicate; None if there is none left."""
        for pair in self._pairs:
            if pair[0] not in self._taken:
                self._taken.add(pair[0])
                return pair
        return None


def _in_pairs(codes: np.ndarray, replicates: np.ndarray) -> Iterator[tuple[int, int]]:
    """Pairs of Python integers, made as they are needed: a space may have millions."""
    for start in range(0, len(codes), _CHUNK):
        part = slice(start, start + _CHUNK)
        yield from zip(codes[part].tolist(), replicates[part].tolist(), strict=True)


def neighbours_in(space: Space) -> Callable[[int], list[int]]:
    """A function from a canonical code to those one block away, ascending; it remembers its answers for the space."""
    known = _known.setdefault(space, {})

    def neighbours(code: int) -> list[int]:
        found = known.get(code)
        if found is None:
            found = known[code] = space.neighbours(code).tolist()
        return found

    return neighbours
