"""The times of a solve, checked."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

from torch import Tensor

from metabench.errors import ArgumentError

__all__ = ["solve_times"]


def _number(time: float | Tensor, name: str) -> float:
    if isinstance(time, Tensor):
        if time.requires_grad:
            raise ArgumentError(
                f"{name} requires a gradient, which is not available for times. Rescale time instead: with "
                "dz/ds = (t1 - t0) f(t0 + s (t1 - t0), z) and s in [0, 1] the interval is a parameter of f."
            )
        if time.numel() != 1:
            raise ArgumentError(f"{name} has shape {tuple(time.shape)}; expected one number for all samples.")
    return float(time)


def solve_times(t0: float | Tensor, t1: float | Tensor, times: Sequence[float] | Tensor | None) -> tuple[float, ...]:
    """The times to solve through, as floats: ``times``, or ``t0`` and ``t1``.

    Raises:
        ArgumentError: if they are not finite and strictly monotone, or require a gradient.
    """
    if times is None:
        start, end = _number(t0, "t0"), _number(t1, "t1")
        if start == end:
            raise ArgumentError(f"t0 = t1 = {start}; expected two different times.")
        moments = (start, end)
    else:
        if isinstance(times, Tensor) and times.ndim != 1:
            raise ArgumentError(f"times has shape {tuple(times.shape)}; expected one axis.")
        if isinstance(times, Tensor) and times.requires_grad:
            _number(times[0], "times")
        if _number(t0, "t0") != 0.0 or _number(t1, "t1") != 1.0:
            raise ArgumentError("got times and also t0 or t1; expected one or the other: times begins with t0.")
        moments = tuple(float(time) for time in times)
        if len(moments) < 2:
            raise ArgumentError(f"times has {len(moments)} entries; expected at least two, the first where z0 holds.")
        steps = [b - a for a, b in pairwise(moments)]
        if not (all(step > 0 for step in steps) or all(step < 0 for step in steps)):
            raise ArgumentError(
                f"times {moments} are not strictly increasing or decreasing; sort and deduplicate them."
            )
    if not all(math.isfinite(time) for time in moments):
        raise ArgumentError(f"times {moments} are not all finite; expected finite numbers.")
    return moments
