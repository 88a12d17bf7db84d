"""Fixed-point iteration as one compiled loop. Needs numba; imported only where it is there.

A replicate's samples go through the affine map together, by BLAS; all that follows is done while it lies in the cache.
States are held transposed, ``(dim, samples)``, so that every loop runs over samples, side by side: norms, projections
and mixtures need no sums across a vector register. A sample that ends is answered at once; it is computed on, to no
effect, until a quarter of the samples have ended and all arrays close up. The semantics are those of
:func:`~metabench.layers.fixed_point.iterate` with :class:`~metabench.layers.AlternatingAnderson`, of which Anderson
acceleration and plain iteration are special cases, or with :class:`~metabench.layers.Broyden`.
"""

from __future__ import annotations

import numpy as np

from metabench.layers.fixed_point.proposals import mixture, quasi_newton
from metabench.layers.kernels import kernel, tanh

__all__ = ["KINDS", "solve"]

KINDS = ("tanh", "gated", "pullback", "box", "simplex", "face", "centred face")
_TANH, _GATED, _PULLBACK, _BOX, _SIMPLEX, _FACE, _CENTRED = range(len(KINDS))
_CONVERGED, _MAX_STEPS, _DIVERGED = 0, 1, 2  # the codes of SolveStatus

_TINY = np.finfo(np.float32).tiny
_ONE, _TWO, _ZERO = np.float32(1), np.float32(2), np.float32(0)


@kernel
def _onto_simplex(a: np.ndarray, n: int, radius: float, top: np.ndarray, rise: np.ndarray, out: np.ndarray) -> None:
    """Projection of ``n`` points, ``a`` and ``out`` ``(dim, n)``: Newton's method on the threshold, from below.

    ``top`` and ``rise`` ``(n,)`` are room for each point's largest entry and its threshold above that one.
    Reference: Michelot (1986).
    """
    dim = a.shape[0]
    total, size = np.zeros(n, np.float32), np.zeros(n, np.float32)
    for b in range(n):
        top[b] = a[0, b]
    for j in range(1, dim):
        for b in range(n):
            top[b] = a[j, b] if a[j, b] > top[b] else top[b]
    for j in range(dim):
        for b in range(n):
            total[b] += a[j, b] - top[b]
    for b in range(n):
        rise[b] = max((total[b] - radius) / np.float32(dim), -radius)
    count = np.empty(n, np.float32)
    for _ in range(dim + 1):
        for b in range(n):
            count[b], total[b] = _ZERO, _ZERO
        for j in range(dim):
            for b in range(n):
                above = a[j, b] - top[b] - rise[b]
                count[b] += _ONE if above > _ZERO else _ZERO
                total[b] += above if above > _ZERO else _ZERO
        moved = _ZERO
        for b in range(n):
            moves = count[b] != size[b] and count[b] > _ZERO
            rise[b] += (total[b] - radius) / count[b] if moves else _ZERO
            moved += _ONE if moves else _ZERO
            size[b] = count[b] if moves else size[b]
        if moved == _ZERO:
            break
    for j in range(dim):
        for b in range(n):
            out[j, b] = max(a[j, b] - top[b] - rise[b], _ZERO)


@kernel
def _centre(a: np.ndarray, n: int, factors: np.ndarray, total: np.ndarray, count: np.ndarray, out: np.ndarray) -> None:
    """``n`` samples less their means where ``factors`` is 1; zero elsewhere. ``(dim, n)``, and room ``(n,)``."""
    dim = a.shape[0]
    for b in range(n):
        total[b], count[b] = _ZERO, _ZERO
    for j in range(dim):
        for b in range(n):
            total[b] += factors[j, b] * a[j, b]
            count[b] += factors[j, b]
    for b in range(n):
        total[b] /= max(count[b], _ONE)
    for j in range(dim):
        for b in range(n):
            out[j, b] = factors[j, b] * (a[j, b] - total[b])


@kernel
def _evaluate(
    kind: int,
    n: int,
    dim: int,
    z: np.ndarray,
    weight: np.ndarray,
    offset: np.ndarray,
    factors: np.ndarray,
    low: float,
    high: float,
    a: np.ndarray,
    image: np.ndarray,
    value: np.ndarray,
    spare: np.ndarray,
) -> None:
    """Images and values of ``n`` samples, flat ``(dim * n,)`` and so on; up to ``pullback`` they are one array.

    ``weight`` is ``(out, in)``; ``spare`` ``(2, batch)`` is room.
    """
    count, rows = dim * n, weight.shape[0] * n
    if kind == _PULLBACK:
        for start in range(0, weight.shape[1] * n, count):
            part, slope = a[start : start + count], factors[start : start + count]
            for i in range(count):
                part[i] = z[i] * slope[i]
        np.dot(weight, a[: weight.shape[1] * n].reshape(-1, n), image[:count].reshape(dim, n))
        for i in range(count):
            image[i] += offset[i]
        return
    np.dot(weight, z[:count].reshape(dim, n), a[:rows].reshape(-1, n))
    for i in range(rows):
        a[i] += offset[i]
    if kind == _TANH:
        tanh(a, count)
        for i in range(count):
            image[i] = a[i]
        return
    if kind == _GATED:
        tanh(a, rows)
        gate = a[count : 2 * count]
        for i in range(count):
            image[i] = a[i] + a[i] * gate[i]
        return
    if kind == _BOX:
        for i in range(count):
            x = a[i]
            x = low if x < low else x
            value[i] = high if x > high else x
    elif kind == _FACE:
        for i in range(count):
            value[i] = a[i] * factors[i]
    elif kind == _SIMPLEX:
        _onto_simplex(a[:count].reshape(dim, n), n, low, spare[0], spare[1], value[:count].reshape(dim, n))
    else:
        faces = factors[:count].reshape(dim, n)
        _centre(a[:count].reshape(dim, n), n, faces, spare[0], spare[1], value[:count].reshape(dim, n))
    for i in range(count):
        image[i] = _TWO * value[i] - a[i]


@kernel
def _norms(
    image: np.ndarray, z: np.ndarray, value: np.ndarray, dim: int, n: int, error: np.ndarray, size: np.ndarray
) -> None:
    """Norms of ``image - z`` and of ``value``, flat ``(dim * n,)``, into ``error`` and ``size`` ``(n,)``."""
    images, states, values = image[: dim * n].reshape(dim, n), z[: dim * n].reshape(dim, n), value[: dim * n]
    values = values.reshape(dim, n)
    for b in range(n):
        error[b], size[b] = _ZERO, _ZERO
    for j in range(dim):
        for b in range(n):
            difference = images[j, b] - states[j, b]
            error[b] += difference * difference
            size[b] += values[j, b] * values[j, b]
    for b in range(n):
        error[b], size[b] = np.sqrt(error[b]), np.sqrt(size[b])


@kernel
def _close_up(a: np.ndarray, rows: int, n: int, kept: np.ndarray, left: int) -> None:
    """Of ``a``, flat ``(rows, n)``, keeps the ``left`` columns ``kept``, ascending: flat ``(rows, left)``."""
    for j in range(rows):
        for c in range(left):
            a[j * left + c] = a[j * n + kept[c]]


@kernel
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
    secant: bool,
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
        memory: iterates mixed, or updates kept.
        period: steps from mixture to mixture.
        delay: steps before the first mixture.
        ridge: of the mixture.
        secant: Broyden's updates instead of mixtures; period, delay and ridge do not count.
        answer: set to the values, ``(replicates, batch, dim)``.
        residual: set to the relative residuals, ``(replicates, batch)``.
        nfe: set to the evaluations, int32.
        status: set to the status codes, int8.
    """
    replicates, batch, dim = start.shape
    rows, k = offset.shape[2], factors.shape[2]
    separate = kind > _PULLBACK
    z, image = np.empty(dim * batch, np.float32), np.empty(dim * batch, np.float32)
    value = np.empty(dim * batch, np.float32) if separate else image
    last, a = np.empty(dim * batch, np.float32), np.empty(max(rows, k, dim) * batch, np.float32)
    o, f = np.empty(rows * batch, np.float32), np.empty(k * batch, np.float32)
    # Of mixtures the last images and residuals; of Broyden's updates the left and right vectors.
    images, residuals = np.empty((memory, dim * batch), np.float32), np.empty((memory, dim * batch), np.float32)
    mixed, room = (0, dim * batch) if secant else (memory, 0)
    gram, spare = np.empty((mixed, mixed, batch), np.float32), np.empty((2, batch), np.float32)
    weights, inverse = np.empty((mixed, batch), np.float32), np.empty((mixed, batch), np.float32)
    before, difference, changed = np.empty(room, np.float32), np.empty(room, np.float32), np.empty(room, np.float32)
    error, size, least = np.empty(batch, np.float32), np.empty(batch, np.float32), np.empty(batch, np.float32)
    place, stay, order = np.empty(batch, np.int64), np.empty(batch, np.int64), np.empty(memory, np.int64)
    ended = np.empty(batch, np.bool_)
    first = max(period, period * (-(-(delay + 1) // period)))
    for r in range(replicates):
        n, left, kept = batch, batch, -1 if secant else 0
        transposed = weight[r].T
        for b in range(batch):
            place[b], least[b], ended[b] = b, scale[r, b], False
            for j in range(dim):
                z[j * n + b] = start[r, b, j]
                last[j * n + b] = start[r, b, j]
            for j in range(rows):
                o[j * n + b] = offset[r, b, j]
            for j in range(k):
                f[j * n + b] = factors[r, b, j]
        for step in range(1, max_steps + 1):
            _evaluate(kind, n, dim, z, transposed, o, f, low, high, a, image, value, spare)
            if step % every == 0 or step == max_steps:
                _norms(image, z, value, dim, n, error, size)
                for b in range(n):
                    if ended[b]:
                        continue
                    finite = np.isfinite(error[b])
                    converged = finite and error[b] <= max(size[b], least[b]) * rtol + atol
                    if not converged and finite and step < max_steps:
                        continue
                    there = place[b]
                    status[r, there] = _CONVERGED if converged else (_MAX_STEPS if finite else _DIVERGED)
                    residual[r, there] = error[b] / max(size[b], _TINY) if finite else _ZERO
                    nfe[r, there] = step
                    for j in range(dim):
                        answer[r, there, j] = value[j * n + b] if finite else last[j * n + b]
                    ended[b] = True
                    left -= 1
                if left == 0:
                    break
                if 4 * left <= 3 * n:
                    c = 0
                    for b in range(n):
                        if not ended[b]:
                            stay[c], place[c], least[c] = b, place[b], least[b]
                            c += 1
                    ended[:left] = False
                    _close_up(z, dim, n, stay, left)
                    _close_up(image, dim, n, stay, left)
                    if separate:
                        _close_up(value, dim, n, stay, left)
                    _close_up(o, rows, n, stay, left)
                    _close_up(f, k, n, stay, left)
                    for i in range(min(kept, memory)):
                        _close_up(images[i], dim, n, stay, left)
                        _close_up(residuals[i], dim, n, stay, left)
                    if secant:
                        _close_up(before, dim, n, stay, left)
                        _close_up(difference, dim, n, stay, left)
                    n = left
                for i in range(dim * n):
                    last[i] = value[i]
            if secant:
                kept = quasi_newton(images, residuals, kept, dim, n, image, before, difference, changed, spare, z)
                continue
            ahead = max(first - step, -step % period)
            if ahead < memory:
                slot = kept % memory
                kept += 1
                for i in range(dim * n):
                    images[slot, i] = image[i]
                    residuals[slot, i] = image[i] - z[i]
            m = min(kept, memory)
            if ahead == 0 and m >= 2:
                for i in range(m):
                    order[i] = (kept - m + i) % memory
                mixture(images, residuals, order, m, n, dim, ridge, gram, weights, inverse, image, z)
            else:
                z, image = image, z
                if not separate:
                    value = image
