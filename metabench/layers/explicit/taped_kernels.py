"""Backpropagation through the steps of an adaptive solve, as one compiled loop. Needs numba."""

from __future__ import annotations

import numpy as np

from metabench.layers.explicit.adaptive_kernels import combine, move
from metabench.layers.explicit.kernels import add_up, field, pull_back
from metabench.layers.kernels import kernel

__all__ = ["taped_backward"]

_ONE, _ZERO = np.float32(1), np.float32(0)


@kernel
def taped_backward(
    weight: np.ndarray,
    transposed: np.ndarray,
    offset: np.ndarray,
    gradient: np.ndarray,
    a: np.ndarray,
    b: np.ndarray,
    tape: np.ndarray,
    sizes: np.ndarray,
    accepted: np.ndarray,
    d_weight: np.ndarray,
    d_offset: np.ndarray,
    d_start: np.ndarray,
) -> None:
    """Reverse-mode gradients through the accepted steps, whose stages are computed again; sizes are constants.

    Arguments are those of ``adaptive``; ``gradient`` is that of the answer, and the last three are set.
    """
    replicates, batch, dim = gradient.shape
    maps, stages, full = weight.shape[1], a.shape[0] - 1, batch * dim  # the last stage is the next step's first
    x, kz, d = (
        np.empty((stages, full), np.float32),
        np.empty((stages, full), np.float32),
        np.empty((stages, full), np.float32),
    )
    u, g, more = np.empty(full, np.float32), np.empty(full, np.float32), np.empty(full, np.float32)
    o, factors = np.empty((maps, full), np.float32), np.empty((stages, maps * full), np.float32)
    here, sums = np.empty(maps * full, np.float32), np.empty((maps, full), np.float32)
    h, product = np.empty(batch, np.float32), np.empty((dim, dim), np.float32)
    for r in range(replicates):
        place = np.argsort(-accepted[r])  # those with most steps first, so that the samples of any step are in front
        for s in range(batch):
            there = place[s]
            for j in range(dim):
                u[s * dim + j] = gradient[r, there, j]
                for q in range(maps):
                    o[q, s * dim + j] = offset[r, there, q * dim + j]
        sums[:] = _ZERO
        d_weight[r] = _ZERO
        n = 0
        for step in range(accepted[r, place[0]] - 1, -1, -1):
            while n < batch and accepted[r, place[n]] > step:
                n += 1
            count = n * dim
            for s in range(n):
                h[s] = sizes[r, step, place[s]]
                for j in range(dim):
                    x[0, s * dim + j] = tape[r, step, place[s], j]
            for i in range(stages):
                if i > 0:
                    combine(kz, a[i], i, count, x[i])
                    move(x[0], h, n, dim, x[i])
                field(weight[r], o, x[i, :count], factors[i, : maps * count].reshape(maps, count), kz[i])
            for i in range(stages - 1, -1, -1):
                for p in range(count):
                    g[p] = b[i] * u[p]
                for later in range(i + 1, stages):
                    if a[later, i] != _ZERO:
                        share, slope = a[later, i], d[later]
                        for p in range(count):
                            g[p] += share * slope[p]
                for s in range(n):
                    for j in range(s * dim, (s + 1) * dim):
                        g[j] *= h[s]
                slopes = here[: maps * count].reshape(maps, count)
                tanhs = factors[i, : maps * count].reshape(maps, count)
                pull_back(transposed[r], tanhs, g[:count], slopes, more[:count], d[i, :count])
                add_up(x[i, :count], slopes, _ONE, product, sums, d_weight[r])
            for i in range(stages):
                slope = d[i]
                for p in range(count):
                    u[p] += slope[p]
        for s in range(batch):
            there = place[s]
            for j in range(dim):
                d_start[r, there, j] = u[s * dim + j]
                for q in range(maps):
                    d_offset[r, there, q * dim + j] = sums[q, s * dim + j]
