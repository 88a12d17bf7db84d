"""Architectures as vectors, for predictors."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from metabench.spaces import Space

__all__ = ["PathEncoding"]


class PathEncoding:
    """Which blocks an architecture has where, which at all, and which follow each other.

    BANANAS marks every path of operations from a cell's input to its output. A chain has one path; its parts of length
    one and two say which operations meet, which the whole path, different for every architecture, would not.
    """

    def __init__(self, space: Space) -> None:
        self._space = space
        self._digit = {name: digit for digit, name in enumerate(space.blocks)}
        self._known: dict[int, np.ndarray] = {}
        n = len(space.blocks)
        self.size = space.stages * n + n + n * n + 1

    def __call__(self, codes: Sequence[int]) -> np.ndarray:
        """Zeros and ones, the last entry always 1: float64 ``(len(codes), size)``."""
        return np.array([self._encode(code) for code in codes]).reshape(len(codes), self.size)

    def _encode(self, code: int) -> np.ndarray:
        found = self._known.get(code)
        if found is None:
            digits = [self._digit[name] for name in self._space.architecture(code).blocks]
            n, stages = len(self._digit), self._space.stages
            found = self._known[code] = np.zeros(self.size)
            found[[stage * n + digit for stage, digit in enumerate(digits)]] = 1.0
            found[[stages * n + digit for digit in digits]] = 1.0
            pairs = pairwise(digits)
            found[[(stages + 1) * n + first * n + second for first, second in pairs]] = 1.0
            found[-1] = 1.0
        return found
