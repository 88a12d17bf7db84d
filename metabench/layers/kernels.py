"""What compiled loops share. Needs numba; imported only where it is there."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numba import njit

__all__ = ["kernel", "on_one_thread", "tanh"]

# Neither NaN nor infinity may be assumed away: a sample that diverges has to be found.
_FAST = {"contract", "reassoc", "nsz", "arcp"}


def _rational_tanh() -> tuple[np.ndarray, np.ndarray, np.float32]:
    """Coefficients of x P(x^2) / Q(x^2), degrees 4 and 4 in x^2, and the limit that arguments are clipped to.

    tanh(x) Q(x^2) = x P(x^2) in the least-squares sense on Chebyshev nodes, weighted by the last denominator until it
    stays: in float32 the largest relative error is 3e-7, as the tests say.
    """
    limit, degree = 8.0, 4  # 1 - tanh(8) is 2e-7
    x = limit * np.sin(np.pi / 2 * (np.arange(400) + 0.5) / 400)
    s, t = (x / limit) ** 2, np.tanh(x) / (x / limit)
    weight = np.ones_like(x)
    numerator = denominator = np.zeros(degree + 1)
    for _ in range(8):
        columns = [s**k for k in range(degree + 1)] + [-t * s**k for k in range(1, degree + 1)]
        scale = weight / t
        solved = np.linalg.lstsq(np.stack(columns, 1) * scale[:, None], t * scale, rcond=None)[0]
        numerator, denominator = solved[: degree + 1], np.concatenate([[1.0], solved[degree + 1 :]])
        weight = 1 / np.polyval(denominator[::-1], s)
    powers = limit ** (2.0 * np.arange(degree + 1))
    return (numerator / powers / limit).astype(np.float32), (denominator / powers).astype(np.float32), np.float32(limit)


_P, _Q, _LIMIT = _rational_tanh()
_P0, _P1, _P2, _P3, _P4 = _P
_Q0, _Q1, _Q2, _Q3, _Q4 = _Q


def kernel(function: Any) -> Any:
    """Compiled when first called, and kept beside this file or in the user's cache for the next process."""
    return njit(cache=True, fastmath=_FAST, error_model="numpy")(function)


@lru_cache(maxsize=1)
def _blas() -> Any:
    import scipy.linalg  # noqa: F401  # whose BLAS compiled loops call
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController().select(user_api="blas")


def on_one_thread(loop: Any, *arguments: Any) -> Any:
    """Calls a compiled loop with BLAS on this thread alone: more of them on small products only wait for each other.

    What the process had set holds again afterwards. Costs about 10 microseconds.
    """
    with _blas().limit(limits=1):
        return loop(*arguments)


@kernel
def tanh(a: np.ndarray, count: int) -> None:
    """The first ``count`` entries of ``a``, in place."""
    for i in range(count):
        x = a[i]
        x = _LIMIT if x > _LIMIT else x
        x = -_LIMIT if x < -_LIMIT else x
        s = x * x
        p = (((_P4 * s + _P3) * s + _P2) * s + _P1) * s + _P0
        q = (((_Q4 * s + _Q3) * s + _Q2) * s + _Q1) * s + _Q0
        a[i] = x * p / q
