"""Explicit steps of a cell, forward, backward and reversed in time, each as one compiled loop. Needs numba.

All steps of one replicate are taken while its state lies in the cache; a cell's affine maps are held apart, so that
every loop over entries is one long one.
"""

from __future__ import annotations

import numpy as np

from metabench.layers.kernels import kernel, tanh

__all__ = ["add_product", "add_up", "backward", "copy", "copy_columns", "field", "forward", "pull_back", "reverse"]

_ONE, _ZERO = np.float32(1), np.float32(0)


@kernel
def copy(source: np.ndarray, out: np.ndarray) -> None:
    """Flat arrays; a loop is faster than an assignment of slices."""
    for p in range(source.shape[0]):
        out[p] = source[p]


@kernel
def copy_columns(source: np.ndarray, start: int, out: np.ndarray) -> None:
    """``out`` ``(batch, dim)`` from the columns of ``source`` that begin at ``start``."""
    part = source[:, start : start + out.shape[1]]
    for b in range(out.shape[0]):
        for j in range(out.shape[1]):
            out[b, j] = part[b, j]


@kernel
def field(weight: np.ndarray, offset: np.ndarray, z: np.ndarray, factors: np.ndarray, out: np.ndarray) -> None:
    """One evaluation: ``factors`` (maps, batch dim) are set to the tanhs, and ``out`` to the cell's value."""
    maps, dim = weight.shape[:2]
    count = z.shape[0]
    states = z.reshape(-1, dim)
    for q in range(maps):
        a, o = factors[q], offset[q]
        np.dot(states, weight[q], a.reshape(-1, dim))
        for i in range(count):
            a[i] += o[i]
        tanh(a, count)
    c = factors[0]
    if maps == 1:
        for i in range(count):
            out[i] = c[i]
    else:
        g = factors[1]
        for i in range(count):
            out[i] = c[i] + c[i] * g[i]


@kernel
def pull_back(
    weight: np.ndarray,
    factors: np.ndarray,
    u: np.ndarray,
    slopes: np.ndarray,
    more: np.ndarray,
    out: np.ndarray,
) -> None:
    """Gradients of one evaluation, ``u`` that of its value: ``slopes`` are set to those of its affine maps.

    ``weight`` is ``(maps, out, in)``; ``more`` is room; ``out`` is set to the state's gradient.
    """
    maps, dim = weight.shape[:2]
    count = u.shape[0]
    c, d = factors[0], slopes[0]
    if maps == 1:
        for i in range(count):
            d[i] = u[i] * (_ONE - c[i] * c[i])
    else:
        g, e = factors[1], slopes[1]
        for i in range(count):
            d[i] = u[i] * (_ONE + g[i]) * (_ONE - c[i] * c[i])
            e[i] = u[i] * c[i] * (_ONE - g[i] * g[i])
    np.dot(d.reshape(-1, dim), weight[0], out.reshape(-1, dim))
    if maps == 2:
        np.dot(slopes[1].reshape(-1, dim), weight[1], more.reshape(-1, dim))
        for i in range(count):
            out[i] += more[i]


@kernel
def add_product(x: np.ndarray, slopes: np.ndarray, share: float, product: np.ndarray, total: np.ndarray) -> None:
    """``total`` += ``share`` times x^T slopes, flat arrays of rows of ``product``'s width, which is room."""
    dim = product.shape[0]
    np.dot(x.reshape(-1, dim).T, slopes.reshape(-1, dim), product)
    part, whole = product.reshape(-1), total.reshape(-1)
    for p in range(dim * dim):
        whole[p] += share * part[p]


@kernel
def add_up(
    x: np.ndarray, slopes: np.ndarray, share: float, product: np.ndarray, sums: np.ndarray, d_weight: np.ndarray
) -> None:
    """Adds ``share`` times the gradients of one evaluation at ``x`` to those of the affine maps and their weights."""
    for q in range(slopes.shape[0]):
        part, total = slopes[q], sums[q]
        for p in range(part.shape[0]):
            total[p] += share * part[p]
        add_product(x, part, share, product, d_weight[q])


@kernel
def forward(
    weight: np.ndarray,
    offset: np.ndarray,
    start: np.ndarray,
    steps: int,
    a: np.ndarray,
    b: np.ndarray,
    keep: bool,
    states: np.ndarray,
    factors: np.ndarray,
    answer: np.ndarray,
) -> None:
    """Takes the steps of every replicate; float32, C-contiguous.

    Args:
        weight: ``(replicates, maps, dim in, dim out)``.
        offset: ``(replicates, batch, maps dim)``.
        start: ``(replicates, batch, dim)``.
        steps: how many.
        a: of the tableau, times the step, ``(stages, stages)``.
        b: of the tableau, times the step; empty for plain iteration z <- f(z).
        keep: whether states and factors are wanted; if not, they have room for one evaluation.
        states: set to what the cell was evaluated at, ``(replicates, evaluations, batch dim)``.
        factors: set to the tanhs, ``(replicates, evaluations, maps, batch dim)``.
        answer: set, ``(replicates, batch, dim)``.
    """
    replicates, maps, dim = weight.shape[:3]
    batch, stages = start.shape[1], a.shape[0]
    count = batch * dim
    o, k = np.empty((maps, count), np.float32), np.empty((stages, count), np.float32)
    for r in range(replicates):
        at = r if keep else 0
        z = answer[r].reshape(-1)
        copy(start[r].reshape(-1), z)
        for q in range(maps):
            copy_columns(offset[r], q * dim, o[q].reshape(batch, dim))
        for s in range(steps):
            for i in range(stages):
                e = s * stages + i if keep else 0
                x = states[at, e]
                copy(z, x)
                for j in range(i):
                    if a[i, j] != _ZERO:
                        share, slope = a[i, j], k[j]
                        for p in range(count):
                            x[p] += share * slope[p]
                field(weight[r], o, x, factors[at, e], k[i])
            if b.shape[0] == 0:
                copy(k[0], z)
            for i in range(b.shape[0]):
                share, slope = b[i], k[i]
                for p in range(count):
                    z[p] += share * slope[p]


@kernel
def backward(
    weight: np.ndarray,
    gradient: np.ndarray,
    steps: int,
    a: np.ndarray,
    b: np.ndarray,
    states: np.ndarray,
    factors: np.ndarray,
    d_weight: np.ndarray,
    d_offset: np.ndarray,
    d_start: np.ndarray,
) -> None:
    """Reverse-mode gradients through the steps; the last three arguments are set, with the shapes of ``forward``.

    ``weight`` is that of ``forward`` with its last axes swapped, ``gradient`` that of the answer.
    """
    replicates, maps, dim = weight.shape[:3]
    batch, stages = gradient.shape[1], a.shape[0]
    count, product = batch * dim, np.empty((dim, dim), np.float32)
    sums, here = np.empty((maps, count), np.float32), np.empty((maps, count), np.float32)
    d, g = np.empty((stages, count), np.float32), np.empty(count, np.float32)
    more = np.empty(count, np.float32)
    for r in range(replicates):
        u = d_start[r].reshape(-1)
        copy(gradient[r].reshape(-1), u)
        sums[:] = _ZERO
        d_weight[r] = _ZERO
        for s in range(steps - 1, -1, -1):
            for i in range(stages - 1, -1, -1):
                e = s * stages + i
                if b.shape[0] == 0:
                    copy(u, g)
                else:
                    share = b[i]
                    for p in range(count):
                        g[p] = share * u[p]
                    for j in range(i + 1, stages):
                        if a[j, i] != _ZERO:
                            share, later = a[j, i], d[j]
                            for p in range(count):
                                g[p] += share * later[p]
                pull_back(weight[r], factors[r, e], g, here, more, d[i])
                add_up(states[r, e], here, _ONE, product, sums, d_weight[r])
            if b.shape[0] == 0:
                copy(d[0], u)
            else:
                for i in range(stages):
                    part = d[i]
                    for p in range(count):
                        u[p] += part[p]
        for q in range(maps):
            d_offset[r, :, q * dim : (q + 1) * dim] = sums[q].reshape(batch, dim)


@kernel
def reverse(
    weight: np.ndarray,
    transposed: np.ndarray,
    offset: np.ndarray,
    end: np.ndarray,
    gradient: np.ndarray,
    steps: int,
    a: np.ndarray,
    b: np.ndarray,
    d_weight: np.ndarray,
    d_offset: np.ndarray,
    d_start: np.ndarray,
) -> None:
    """Integrates (z, u) with du/dt = -u^T df/dz back from the end; the last three arguments are set.

    Args:
        weight: as for ``forward``.
        transposed: the same with its last axes swapped.
        offset: as for ``forward``.
        end: the state at the end, ``(replicates, batch, dim)``.
        gradient: that of ``end``.
        steps: how many.
        a: of the tableau, times minus the step.
        b: the same.
        d_weight: set, ``(replicates, maps, dim in, dim out)``.
        d_offset: set, ``(replicates, batch, maps dim)``.
        d_start: set, ``(replicates, batch, dim)``.
    """
    replicates, maps, dim = weight.shape[:3]
    batch, stages = end.shape[1], a.shape[0]
    count, product = batch * dim, np.empty((dim, dim), np.float32)
    o, factors = np.empty((maps, count), np.float32), np.empty((maps, count), np.float32)
    sums, here = np.empty((maps, count), np.float32), np.empty((maps, count), np.float32)
    k, d = np.empty((stages, count), np.float32), np.empty((stages, count), np.float32)
    z, x, v = np.empty(count, np.float32), np.empty(count, np.float32), np.empty(count, np.float32)
    more = np.empty(count, np.float32)
    for r in range(replicates):
        u = d_start[r].reshape(-1)
        copy(gradient[r].reshape(-1), u)
        copy(end[r].reshape(-1), z)
        for q in range(maps):
            copy_columns(offset[r], q * dim, o[q].reshape(batch, dim))
        sums[:] = _ZERO
        d_weight[r] = _ZERO
        for _ in range(steps):
            for i in range(stages):
                copy(z, x)
                copy(u, v)
                for j in range(i):
                    if a[i, j] != _ZERO:
                        share, slope, change = a[i, j], k[j], d[j]
                        for p in range(count):
                            x[p] += share * slope[p]
                            v[p] -= share * change[p]
                field(weight[r], o, x, factors, k[i])
                pull_back(transposed[r], factors, v, here, more, d[i])
                add_up(x, here, -b[i], product, sums, d_weight[r])
            for i in range(stages):
                share, slope, change = b[i], k[i], d[i]
                for p in range(count):
                    z[p] += share * slope[p]
                    u[p] -= share * change[p]
        for q in range(maps):
            d_offset[r, :, q * dim : (q + 1) * dim] = sums[q].reshape(batch, dim)
