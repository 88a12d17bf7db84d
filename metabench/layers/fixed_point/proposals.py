"""Proposals of accelerated fixed-point iterations, for every sample of a batch at once. Needs numba.

States are held transposed, flat ``(dim * n,)`` with the ``n`` samples side by side: every loop runs over samples.
"""

from __future__ import annotations

import numpy as np

from metabench.layers.kernels import kernel

__all__ = ["mixture", "quasi_newton"]

_EPS, _TINY = np.finfo(np.float32).eps, np.finfo(np.float32).tiny
_ONE, _ZERO = np.float32(1), np.float32(0)


@kernel
def mixture(
    images: np.ndarray,
    residuals: np.ndarray,
    order: np.ndarray,
    m: int,
    n: int,
    dim: int,
    ridge: float,
    gram: np.ndarray,
    weights: np.ndarray,
    inverse: np.ndarray,
    plain: np.ndarray,
    out: np.ndarray,
) -> None:
    """Of each sample the combination of its last ``m`` images whose residual is least; ``plain`` where it is lost.

    Args:
        images: of the last steps, ``(memory, dim * n)``.
        residuals: the same.
        order: places of the last ``m`` in them, oldest first.
        m: iterates mixed.
        n: samples.
        dim: entries of a state.
        ridge: added to the normalised products' diagonal.
        gram: room, ``(memory, memory, batch)``.
        weights: room, ``(memory, batch)``.
        inverse: room, ``(memory, batch)``.
        plain: the last images, ``(dim * n,)``.
        out: set, ``(dim * n,)``.
    """
    for i in range(m):
        first = residuals[order[i], : dim * n].reshape(dim, n)
        for k in range(i, m):
            second, products = residuals[order[k], : dim * n].reshape(dim, n), gram[i, k]
            for b in range(n):
                products[b] = _ZERO
            for j in range(dim):
                for b in range(n):
                    products[b] += first[j, b] * second[j, b]
    for i in range(m):
        for b in range(n):
            inverse[i, b] = _ONE / np.sqrt(max(gram[i, i, b], _TINY))
    for i in range(m):
        for k in range(i, m):
            for b in range(n):
                gram[i, k, b] *= inverse[i, b] * inverse[k, b]
        for b in range(n):
            gram[i, i, b] += ridge
            inverse[i, b] = inverse[i, b] / inverse[m - 1, b] if i < m - 1 else _ONE
            weights[i, b] = inverse[i, b]
    for k in range(m - 1):
        for i in range(k + 1, m):
            for b in range(n):  # factors go where the other half of the symmetric matrix would be
                gram[i, k, b] = gram[k, i, b] / gram[k, k, b]
                weights[i, b] -= gram[i, k, b] * weights[k, b]
            for j in range(i, m):
                for b in range(n):
                    gram[i, j, b] -= gram[i, k, b] * gram[k, j, b]
    total = gram[m - 1, 0]
    for k in range(m - 1, -1, -1):
        for b in range(n):
            weights[k, b] /= gram[k, k, b]
        for i in range(k):
            for b in range(n):
                weights[i, b] -= gram[i, k, b] * weights[k, b]
    for b in range(n):
        total[b] = _ZERO
    for i in range(m):
        for b in range(n):
            weights[i, b] *= inverse[i, b]
            total[b] += weights[i, b]
    for i in range(m):
        for b in range(n):
            weights[i, b] /= total[b]
    mixed = out[: dim * n].reshape(dim, n)
    for i in range(dim * n):
        out[i] = _ZERO
    for i in range(m):
        image = images[order[i], : dim * n].reshape(dim, n)
        for j in range(dim):
            for b in range(n):
                mixed[j, b] += weights[i, b] * image[j, b]
    for i in range(dim * n):
        out[i] = out[i] if np.isfinite(out[i]) else plain[i]


@kernel
def _products(a: np.ndarray, b: np.ndarray, dim: int, n: int, out: np.ndarray) -> None:
    """Inner products of two states, sample by sample, into ``out`` ``(n,)``."""
    first, second = a[: dim * n].reshape(dim, n), b[: dim * n].reshape(dim, n)
    for s in range(n):
        out[s] = _ZERO
    for j in range(dim):
        for s in range(n):
            out[s] += first[j, s] * second[j, s]


@kernel
def _updated(
    left: np.ndarray, right: np.ndarray, count: int, v: np.ndarray, dim: int, n: int, room: np.ndarray, out: np.ndarray
) -> None:
    """(I + the sum of the first ``count`` left right^T) v, sample by sample, into ``out``; ``room`` is ``(batch,)``."""
    sums = out[: dim * n].reshape(dim, n)
    for p in range(dim * n):
        out[p] = v[p]
    for i in range(count):
        _products(right[i], v, dim, n, room)
        direction = left[i, : dim * n].reshape(dim, n)
        for j in range(dim):
            for s in range(n):
                sums[j, s] += room[s] * direction[j, s]


@kernel
def quasi_newton(
    left: np.ndarray,
    right: np.ndarray,
    kept: int,
    dim: int,
    n: int,
    image: np.ndarray,
    before: np.ndarray,
    residual: np.ndarray,
    changed: np.ndarray,
    spare: np.ndarray,
    z: np.ndarray,
) -> int:
    """One step of Broyden's good method; the inverse Jacobian of z - f(z) is I + the sum of left right^T.

    Args:
        left: of the updates, ``(memory, dim * n)``.
        right: the same.
        kept: updates in use; below 0 before the first step.
        dim: entries of a state.
        n: samples.
        image: f(z), ``(dim * n,)``.
        before: the last iterate; set to ``z``.
        residual: the last residual; set to this one.
        changed: room, ``(dim * n,)``.
        spare: room, ``(2, batch)``.
        z: the iterate; set to the next one.

    Returns:
        Updates in use.
    """
    count = dim * n
    if kept < 0:
        for p in range(count):
            residual[p] = image[p] - z[p]
    else:
        if kept == left.shape[0]:
            kept = 0
        new_left, new_right = left[kept], right[kept]
        for p in range(count):
            before[p] = z[p] - before[p]
            error = image[p] - z[p]
            changed[p], residual[p] = error - residual[p], error
        _updated(left, right, kept, changed, dim, n, spare[0], new_left)
        _updated(right, left, kept, before, dim, n, spare[0], new_right)
        _products(before, new_left, dim, n, spare[0])
        _products(before, before, dim, n, spare[1])
        for s in range(n):
            product = spare[0, s]
            spare[0, s] = -_ONE / product if abs(product) > _EPS * spare[1, s] else _ZERO
        moved, sums = before[:count].reshape(dim, n), new_left[:count].reshape(dim, n)
        for j in range(dim):
            for s in range(n):
                sums[j, s] = (moved[j, s] + sums[j, s]) * spare[0, s] if spare[0, s] != _ZERO else _ZERO
    kept += 1
    _updated(left, right, kept, residual, dim, n, spare[0], changed)
    for p in range(count):
        before[p] = z[p]
        proposal = z[p] + changed[p]
        z[p] = proposal if np.isfinite(proposal) else image[p]
    return kept
