"""What the generated data sets share: balanced labels in random order, and checks of their parameters."""

from __future__ import annotations

import math

import numpy as np

from metabench.errors import ArgumentError

__all__ = ["balanced_labels", "check_count", "check_scale"]


def balanced_labels(samples: int, classes: int, generator: np.random.Generator) -> np.ndarray:
    """Labels 0 to ``classes`` - 1 in random order, int64 ``(samples,)``; the classes' counts differ by at most one."""
    return generator.permutation(np.arange(samples, dtype=np.int64) % classes)


def check_count(name: str, value: int, least: int) -> int:
    """Returns ``value`` if it is a whole number of at least ``least``.

    Raises:
        ArgumentError: otherwise.
    """
    if isinstance(value, bool) or not isinstance(value, int) or value < least:
        raise ArgumentError(f"{name}={value!r}: expected a whole number of at least {least}.")
    return value


def check_scale(name: str, value: float, *, zero: bool = False) -> float:
    """Returns ``value`` as a float if it is finite and positive, or zero where ``zero`` allows it.

    Raises:
        ArgumentError: otherwise.
    """
    valid = not isinstance(value, bool) and isinstance(value, int | float) and math.isfinite(value)
    if not valid or not (value > 0 or (zero and value == 0)):
        raise ArgumentError(f"{name}={value!r}: expected a finite number {'>= 0' if zero else '> 0'}.")
    return float(value)
