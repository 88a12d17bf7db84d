"""Where searchers get architectures from: new ones at random, and neighbours."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING
from weakref import WeakKeyDictionary

import numpy as np

from metabench.spaces.joint import JointSpace

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["NewArchitectures", "first_architectures", "neighbours_in"]

_CHUNK = 1024

# Listing neighbours costs more than all else in a trial, and every run on a space wants the same lists.
_known: WeakKeyDictionary[Space, dict[int, list[int]]] = WeakKeyDictionary()


class NewArchitectures:
    """The canonical architectures in a random order, each once. Those of a joint space are drawn as they are needed.

    Args:
        space: the search space.
        seeds: replicates; each architecture gets one of them at random.
        generator: consumed here, not later.
    """

    def __init__(self, space: Space, seeds: Sequence[int], generator: np.random.Generator) -> None:
        if isinstance(space, JointSpace):
            self._pairs = _drawn(space, seeds, generator.spawn(1)[0])
        else:
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


def _drawn(space: JointSpace, seeds: Sequence[int], generator: np.random.Generator) -> Iterator[tuple[int, int]]:
    """Pairs without end; a configuration that comes again is passed over by who asks."""
    while True:
        codes = space.draw(_CHUNK, generator)
        yield from _in_pairs(codes, generator.choice(list(seeds), size=_CHUNK))


def first_architectures(space: Space, count: int, generator: np.random.Generator) -> list[int]:
    """``count`` random canonical codes, distinct while the space lasts."""
    if isinstance(space, JointSpace):
        return space.draw(count, generator).tolist()
    codes = space.canonical_codes
    return generator.choice(codes, size=count, replace=len(codes) < count).tolist()


def neighbours_in(space: Space) -> Callable[[int], list[int]]:
    """A function from a canonical code to those one block away, ascending; it remembers its answers for the space."""
    known = _known.setdefault(space, {})

    def neighbours(code: int) -> list[int]:
        found = known.get(code)
        if found is None:
            found = known[code] = space.neighbours(code).tolist()
        return found

    return neighbours
