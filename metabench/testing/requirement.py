"""How a kit says what failed, and what several kits measure."""

from __future__ import annotations

import math
import random
import statistics
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor

from metabench.errors import ConformanceError
from metabench.layers.record import SolveRecord, SolveStatus

__all__ = [
    "directional_error",
    "normal",
    "require",
    "require_close",
    "require_record",
    "without_global_randomness",
]

_SMALL = 1e-4  # a derivative under this, of a problem of size one, is measured absolutely: it may be rounding alone


def normal(*shape: int, seed: int, dtype: torch.dtype = torch.float64) -> Tensor:
    """Standard normal draws from a generator of their own."""
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def require(holds: bool | Tensor, subject: object, name: str, message: str) -> None:
    """Raises unless ``holds``.

    Args:
        holds: whether the property was seen to hold.
        subject: the component; a class is shown by its name and an instance by its repr.
        name: the property, in a few words.
        message: what was found and what was expected.

    Raises:
        ConformanceError: ``subject [name]: message``.
    """
    if not bool(holds):
        shown = subject.__qualname__ if isinstance(subject, type) else repr(subject)
        raise ConformanceError(f"{shown} [{name}]: {message}")


def require_close(
    found: Tensor, expected: Tensor, subject: object, name: str, message: str, *, rtol: float, atol: float
) -> None:
    """Raises unless shapes and dtypes are equal and |found - expected| <= atol + rtol |expected| everywhere.

    NaN equals NaN.
    """
    require(
        found.shape == expected.shape and found.dtype == expected.dtype,
        subject,
        name,
        f"{message}: got {tuple(found.shape)} {found.dtype}, expected {tuple(expected.shape)} {expected.dtype}.",
    )
    if found.numel() and not torch.allclose(found, expected, rtol=rtol, atol=atol, equal_nan=True):
        difference = (found - expected).abs().nan_to_num(nan=float("inf"))
        require(
            False, subject, name, f"{message}: they differ by up to {difference.max():.3g} (rtol={rtol}, atol={atol})."
        )


def require_record(record: object, samples: Sequence[int], subject: object, name: str = "record") -> SolveRecord:
    """Raises unless ``record`` is a SolveRecord of the sample shape with sound fields; returns it."""
    if not isinstance(record, SolveRecord):
        require(False, subject, name, f"got a {type(record).__name__}, expected a metabench.layers.SolveRecord.")
        raise AssertionError  # not reached
    shape = tuple(samples)
    for field in ("status", "steps", "nfe", "residual"):
        part = getattr(record, field)
        require(
            isinstance(part, Tensor) and tuple(part.shape) == shape,
            subject,
            name,
            f"{field} has shape {tuple(getattr(part, 'shape', ()))}, expected {shape}, one entry a sample.",
        )
    require(record.status.dtype == torch.int8, subject, name, f"status is {record.status.dtype}, expected torch.int8.")
    for field in ("steps", "nfe"):
        part = getattr(record, field)
        require(part.dtype == torch.int32, subject, name, f"{field} is {part.dtype}, expected torch.int32.")
        require((part >= 0).all(), subject, name, f"{field} has a negative entry.")
    known = (record.status >= 0) & (record.status < len(SolveStatus))
    require(known.all(), subject, name, f"status has codes other than 0 to {len(SolveStatus) - 1} (SolveStatus.code).")
    residual = record.residual[record.converged]
    require(
        record.residual.is_floating_point() and bool((torch.isfinite(residual) & (residual >= 0)).all()),
        subject,
        name,
        "residual of a converged sample is not a finite number >= 0.",
    )
    return record


def directional_error(
    f: Callable[[], Tensor], leaf: Tensor, gradient: Tensor, *, step: float, seed: int, directions: int = 6
) -> float:
    """How far ``gradient`` is from central differences of the scalar ``f()``, relative to their size or 1e-4.

    The median over random directions, and ``gradient`` itself, along which a wrong factor shows most. The median: along
    a few of them ``f`` may have a kink within the step.

    Args:
        f: evaluates a scalar from ``leaf`` as it stands.
        leaf: moved in place, and put back.
        gradient: the derivative under test, of leaf's shape.
        step: length of a move, in units of the root-mean-square move of an entry.
        seed: of the directions.
        directions: how many random ones.
    """
    generator = torch.Generator().manual_seed(seed)
    moves = [torch.randn(leaf.shape, dtype=leaf.dtype, generator=generator) for _ in range(directions)]
    original, wrong, sizes = leaf.detach().clone(), [], []

    def value_at(point: Tensor) -> float:
        leaf.copy_(point)
        return float(f())

    with torch.no_grad():
        for move in [*moves, gradient]:
            length = float(move.norm()) / max(move.numel(), 1) ** 0.5
            if length == 0.0:
                continue
            unit = move / length
            difference = (value_at(original + step * unit) - value_at(original - step * unit)) / (2 * step)
            wrong.append(abs(difference - float((gradient * unit).sum())))
            sizes.append(difference**2)
        leaf.copy_(original)
    return statistics.median(wrong) / max(math.sqrt(statistics.fmean(sizes)), _SMALL)


@contextmanager
def without_global_randomness(subject: object) -> Iterator[None]:
    """Raises if the body draws from torch's, NumPy's or Python's global generator."""
    before = torch.get_rng_state(), np.random.get_state(legacy=False), random.getstate()  # noqa: NPY002
    yield
    numpy_same = repr(np.random.get_state(legacy=False)) == repr(before[1])  # noqa: NPY002
    same = torch.equal(torch.get_rng_state(), before[0]) and numpy_same and random.getstate() == before[2]
    require(
        same,
        subject,
        "no global random state",
        "a global random generator has moved; draw from the generators that are handed in.",
    )
