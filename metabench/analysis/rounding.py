"""Numbers for a page and for JSON: a few significant digits, None where there is no number."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

__all__ = ["DIGITS", "rounded"]

DIGITS = 6


def rounded(value: Any, digits: int = DIGITS) -> Any:
    """``value`` in JSON's own types; numbers to some significant digits, NaN and infinity as None."""
    if value is None or isinstance(value, str | bool):
        return value
    if isinstance(value, np.ndarray | np.generic):
        return rounded(value.tolist(), digits)
    if isinstance(value, int):
        return value
    if isinstance(value, float):
        return _short(value, digits) if math.isfinite(value) else None
    as_mapping = getattr(value, "_asdict", None)  # a named tuple
    if as_mapping is not None:
        return rounded(as_mapping(), digits)
    if isinstance(value, Mapping):
        return {str(key): rounded(item, digits) for key, item in value.items()}
    if isinstance(value, Iterable):
        return [rounded(item, digits) for item in value]
    return str(value)


def _short(value: float, digits: int) -> float | int:
    found = float(f"{value:.{digits}g}")
    return int(found) if found.is_integer() and abs(found) < 1e15 else found  # "12", not "12.0": shorter in JSON
