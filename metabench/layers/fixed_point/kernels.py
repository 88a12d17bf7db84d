"""Alternating Anderson-Picard iteration as one compiled loop. Needs numba; imported only where it is there.

A replicate's samples go through the affine map together, by BLAS; all that follows is done while it lies in the cache,
and a sample that ends leaves at once. The semantics are those of :func:`~metabench.layers.fixed_point.iterate` with
:class:`~metabench.layers.AlternatingAnderson`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numba import njit

__all__ = ["KINDS", "solve"]

KINDS = ("tanh", "gated", "pullback", "box", "simplex", "face", "centred face")
_TANH, _GATED, _PULLBACK, _BOX, _SIMPLEX, _FACE, _CENTRED = range(len(KINDS))
_CONVERGED, _MAX_STEPS, _DIVERGED = 0, 1, 2  # the codes of SolveStatus

_TINY = np.finfo(np.float32).tiny
_ONE, _TWO, _ZERO = np.float32(1), np.float32(2), np.float32(0)
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


def _kernel(function: Any) -> Any:
    """Compiled when first called, and kept beside this file or in the user's cache for the next process."""
    return njit(cache=True, fastmath=_FAST, error_model="numpy")(function)


@_kernel
def _tanh(a: np.ndarray, count: int) -> None:
    """The first ``count`` entries of ``a``, in place."""
    for i in range(count):
        x = a[i]
        x = _LIMIT if x > _LIMIT else x
        x = -_LIMIT if x < -_LIMIT else x
        s = x * x
        p = (((_P4 * s + _P3) * s + _P2) * s + _P1) * s + _P0
        q = (((_Q4 * s + _Q3) * s + _Q2) * s + _Q1) * s + _Q0
        a[i] = x * p / q


@_kernel
def _onto_simplex(a: np.ndarray, radius: float, out: np.ndarray) -> None:
    """Projection of one point ``(dim,)``: Newton's method on the threshold, from below (Michelot, 1986)."""
    dim = a.shape[0]
    top = a[0]
    for j in range(1, dim):
        top = max(top, a[j])
    total = _ZERO
    for j in range(dim):
        total += a[j] - top
    threshold, size = max((total - radius) / np.float32(dim), -radius), _ZERO
    for _ in range(dim + 1):
        count, total = _ZERO, _ZERO
        for j in range(dim):
            above = a[j] - top - threshold
            count += _ONE if above > _ZERO else _ZERO
            total += above if above > _ZERO else _ZERO
        if count in (size, _ZERO):
            break
        threshold += (total - radius) / count
        size = count
    for j in range(dim):
        out[j] = max(a[j] - top - threshold, _ZERO)


@_kernel
def _centre(a: np.ndarray, factors: np.ndarray, out: np.ndarray) -> None:
    """One sample less its mean where ``factors`` is 1; zero elsewhere, ``(dim,)``."""
    total, count = _ZERO, _ZERO
    for j in range(a.shape[0]):
        total += factors[j] * a[j]
        count += factors[j]
    mean = total / max(count, _ONE)
    for j in range(a.shape[0]):
        out[j] = factors[j] * (a[j] - mean)


@_kernel
def _evaluate(
    kind: int,
    n: int,
    z: np.ndarray,
    weight: np.ndarray,
    offset: np.ndarray,
    factors: np.ndarray,
    low: float,
    high: float,
    a: np.ndarray,
    image: np.ndarray,
    value: np.ndarray,
) -> None:
    """Images and values of the first ``n`` samples; up to ``pullback`` they are one array.

    Loops run over all samples at once where they can: then the compiler has long ones to vectorise.
    """
    dim = z.shape[1]
    flat_a, flat_image, flat_value = a.reshape(-1), image.reshape(-1), value.reshape(-1)
    flat_offset, flat_factors = offset.reshape(-1), factors.reshape(-1)
    if kind == _PULLBACK:
        wide = a.shape[1]
        if wide == dim:
            flat_z = z.reshape(-1)
            for i in range(n * dim):
                flat_a[i] = flat_z[i] * flat_factors[i]
        else:
            for b in range(n):
                for start in range(0, wide, dim):
                    for j in range(dim):
                        a[b, start + j] = z[b, j] * factors[b, start + j]
        np.dot(a[:n], weight, image[:n])
        for i in range(n * dim):
            flat_image[i] += flat_offset[i]
        return
    if kind == _TANH:
        np.dot(z[:n], weight, image[:n])
        for i in range(n * dim):
            flat_image[i] += flat_offset[i]
        _tanh(flat_image, n * dim)
        return
    np.dot(z[:n], weight, a[:n])
    for i in range(n * a.shape[1]):
        flat_a[i] += flat_offset[i]
    if kind == _GATED:
        _tanh(flat_a, n * a.shape[1])
        for b in range(n):
            for j in range(dim):
                image[b, j] = a[b, j] + a[b, j] * a[b, dim + j]
        return
    if kind == _BOX:
        for i in range(n * dim):
            x = flat_a[i]
            x = low if x < low else x
            flat_value[i] = high if x > high else x
    elif kind == _FACE:
        for i in range(n * dim):
            flat_value[i] = flat_a[i] * flat_factors[i]
    elif kind == _SIMPLEX:
        for b in range(n):
            _onto_simplex(a[b], low, value[b])
    else:
        for b in range(n):
            _centre(a[b], factors[b], value[b])
    for i in range(n * dim):
        flat_image[i] = _TWO * flat_value[i] - flat_a[i]


@_kernel
def _mixture(
    images: np.ndarray,
    residuals: np.ndarray,
    order: np.ndarray,
    m: int,
    ridge: float,
    gram: np.ndarray,
    weights: np.ndarray,
    inverse: np.ndarray,
    plain: np.ndarray,
    out: np.ndarray,
) -> None:
    """The combination of the last ``m`` images of one sample whose residual is least; ``plain`` where it is lost."""
    dim = images.shape[1]
    for i in range(m):
        first = residuals[order[i]]
        for k in range(i, m):
            second = residuals[order[k]]
            product = _ZERO
            for j in range(dim):
                product += first[j] * second[j]
            gram[i, k] = product
    for i in range(m):
        inverse[i] = _ONE / np.sqrt(max(gram[i, i], _TINY))
    for i in range(m):
        for k in range(i, m):
            gram[i, k] *= inverse[i] * inverse[k]
        gram[i, i] += ridge
        inverse[i] /= inverse[m - 1] if i < m - 1 else _ONE
    last = inverse[m - 1]
    inverse[m - 1] = _ONE
    if not np.isfinite(last):
        for j in range(dim):
            out[j] = plain[j]
        return
    for i in range(m):
        weights[i] = inverse[i]
    for k in range(m - 1):
        pivot = _ONE / gram[k, k]
        for i in range(k + 1, m):
            factor = gram[k, i] * pivot
            for j in range(i, m):
                gram[i, j] -= factor * gram[k, j]
            weights[i] -= factor * weights[k]
    total = _ZERO
    for k in range(m - 1, -1, -1):
        weights[k] /= gram[k, k]
        for i in range(k):
            weights[i] -= gram[i, k] * weights[k]
    for i in range(m):
        weights[i] *= inverse[i]
        total += weights[i]
    for j in range(dim):
        out[j] = _ZERO
    for i in range(m):
        share, image = weights[i] / total, images[order[i]]
        for j in range(dim):
            out[j] += share * image[j]
    check = _ZERO
    for j in range(dim):
        check += out[j]
    if not np.isfinite(check):
        for j in range(dim):
            out[j] = out[j] if np.isfinite(out[j]) else plain[j]


@_kernel
def solve(
    kind: int,
    weight: np.ndarray,
    offset: np.ndarray,
    factors: np.ndarray,
    low: float,
    high: float,
    start: np.ndarray,
    scale: np.ndarray,
    rtol: float,
    atol: float,
    max_steps: int,
    every: int,
    memory: int,
    period: int,
    delay: int,
    ridge: float,
    answer: np.ndarray,
    residual: np.ndarray,
    nfe: np.ndarray,
    status: np.ndarray,
) -> None:
    """Solves every sample of every replicate; all arrays are float32, C-contiguous, and of one replicate count.

    Args:
        kind: place in ``KINDS``.
        weight: ``(replicates, in, out)``.
        offset: ``(replicates, batch, rows)``.
        factors: ``(replicates, batch, k)``; k may be 0.
        low: lower bound, or radius.
        high: upper bound.
        start: ``(replicates, batch, dim)``.
        scale: the least norm that ``rtol`` refers to, ``(replicates, batch)``.
        rtol: relative tolerance.
        atol: absolute tolerance of a norm.
        max_steps: step limit.
        every: steps from check to check.
        memory: iterates mixed.
        period: steps from mixture to mixture.
        delay: steps before the first mixture.
        ridge: of the mixture.
        answer: set to the values, ``(replicates, batch, dim)``.
        residual: set to the relative residuals, ``(replicates, batch)``.
        nfe: set to the evaluations, int32.
        status: set to the status codes, int8.
    """
    replicates, batch, dim = start.shape
    wide = weight.shape[1] if kind == _PULLBACK else offset.shape[2]
    z, image = np.empty((batch, dim), np.float32), np.empty((batch, dim), np.float32)
    value = image if kind <= _PULLBACK else np.empty((batch, dim), np.float32)
    flat_z, flat_image = z.reshape(-1), image.reshape(-1)
    last, a = np.empty((batch, dim), np.float32), np.empty((batch, wide), np.float32)
    o, f = np.empty((batch, offset.shape[2]), np.float32), np.empty((batch, factors.shape[2]), np.float32)
    images, residuals = np.empty((batch, memory, dim), np.float32), np.empty((batch, memory, dim), np.float32)
    gram = np.empty((memory, memory), np.float32)
    weights, inverse = np.empty(memory, np.float32), np.empty(memory, np.float32)
    place, least, order = np.empty(batch, np.int64), np.empty(batch, np.float32), np.empty(memory, np.int64)
    first = max(period, period * (-(-(delay + 1) // period)))
    for r in range(replicates):
        n, kept = batch, 0
        z[:], last[:], o[:], f[:], least[:] = start[r], start[r], offset[r], factors[r], scale[r]
        for b in range(batch):
            place[b] = b
        for step in range(1, max_steps + 1):
            _evaluate(kind, n, z, weight[r], o, f, low, high, a, image, value)
            if step % every == 0 or step == max_steps:
                for b in range(n - 1, -1, -1):
                    error, size = _ZERO, _ZERO
                    for j in range(dim):
                        difference = image[b, j] - z[b, j]
                        error += difference * difference
                        size += value[b, j] * value[b, j]
                    error, size = np.sqrt(error), np.sqrt(size)
                    finite = np.isfinite(error)
                    converged = finite and error <= max(size, least[b]) * rtol + atol
                    if not converged and finite and step < max_steps:
                        last[b] = value[b]
                        continue
                    at = place[b]
                    status[r, at] = _CONVERGED if converged else (_MAX_STEPS if finite else _DIVERGED)
                    residual[r, at] = error / max(size, _TINY) if finite else _ZERO
                    nfe[r, at] = step
                    answer[r, at] = value[b] if finite else last[b]
                    n -= 1
                    if b < n:  # the last one takes its place
                        z[b], image[b], value[b], last[b], o[b], f[b] = z[n], image[n], value[n], last[n], o[n], f[n]
                        place[b], least[b] = place[n], least[n]
                        images[b], residuals[b] = images[n], residuals[n]
                if n == 0:
                    break
            ahead = max(first - step, -step % period)
            if ahead < memory:
                slot = kept % memory
                kept += 1
                for b in range(n):
                    for j in range(dim):
                        images[b, slot, j] = image[b, j]
                        residuals[b, slot, j] = image[b, j] - z[b, j]
            m = min(kept, memory)
            if ahead == 0 and m >= 2:
                for i in range(m):
                    order[i] = (kept - m + i) % memory
                for b in range(n):
                    _mixture(images[b], residuals[b], order, m, ridge, gram, weights, inverse, image[b], z[b])
            else:
                for i in range(n * dim):
                    flat_z[i] = flat_image[i]
