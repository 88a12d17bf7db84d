"""Adaptive integration of a cell in which every sample has its own steps, as compiled loops. Needs numba.

The samples that are still on their way are kept side by side at the front of all arrays. The semantics are those of
:func:`~metabench.layers.ode.adaptive.integrate_adaptively`; a non-finite state or a step lost in rounding is only
reported, for torch to deal with.
"""

from __future__ import annotations

import numpy as np

from metabench.layers.explicit.kernels import add_product, copy, copy_columns, field, pull_back
from metabench.layers.kernels import kernel
from metabench.layers.ode.adaptive import RESOLUTION
from metabench.layers.ode.controller import GROW, INTEGRAL, SAFETY, SHRINK, SMALLEST_RATIO

__all__ = ["adaptive", "combine", "move"]

_ONE, _ZERO = np.float32(1), np.float32(0)
_TINY = np.finfo(np.float32).tiny
_SAFETY, _SHRINK, _GROW = np.float32(SAFETY), np.float32(SHRINK), np.float32(GROW)
_INTEGRAL, _SMALLEST = np.float32(INTEGRAL), np.float32(SMALLEST_RATIO)
_LEAST_STEP = np.float32(RESOLUTION * np.finfo(np.float32).eps)  # of a span of 1


@kernel
def _size(z: np.ndarray, u: np.ndarray, n: int, dim: int, both: bool, out: np.ndarray) -> None:
    """Root-mean-square of ``n`` states, each a row of ``z`` and, if ``both``, one of ``u``, into ``out``."""
    for s in range(n):
        total = _ZERO
        for j in range(s * dim, (s + 1) * dim):
            total += z[j] * z[j]
        if both:
            for j in range(s * dim, (s + 1) * dim):
                total += u[j] * u[j]
        out[s] = np.sqrt(total / np.float32(2 * dim if both else dim))


@kernel
def combine(slopes: np.ndarray, weights: np.ndarray, count: int, size: int, out: np.ndarray) -> None:
    """``out`` <- the weighted sum of the first ``count`` slopes, of which the first ``size`` entries are in use."""
    for p in range(size):
        out[p] = _ZERO
    for i in range(count):
        if weights[i] != _ZERO:
            weight, slope = weights[i], slopes[i]
            for p in range(size):
                out[p] += weight * slope[p]


@kernel
def move(z: np.ndarray, h: np.ndarray, n: int, dim: int, out: np.ndarray) -> None:
    """``out`` <- z + h out, with each row's own h."""
    for s in range(n):
        step = h[s]
        for j in range(s * dim, (s + 1) * dim):
            out[j] = z[j] + step * out[j]


@kernel
def _slope(
    weight: np.ndarray,
    transposed: np.ndarray,
    o: np.ndarray,
    x: np.ndarray,
    v: np.ndarray,
    count: int,
    back: bool,
    factors: np.ndarray,
    here: np.ndarray,
    more: np.ndarray,
    kz: np.ndarray,
    ku: np.ndarray,
) -> None:
    """dz/dt = f(z), or back in time d(z, u)/dt = (-f, u^T df/dz); ``here`` is set to the gradients of f's affine maps.

    All arrays but the weights are flat; the first ``count`` entries, or ``maps count``, are in use.
    """
    maps = weight.shape[0]
    tanhs = factors[: maps * count].reshape(maps, count)
    field(weight, o[: maps * count].reshape(maps, count), x[:count], tanhs, kz)
    if back:
        slopes = here[: maps * count].reshape(maps, count)
        pull_back(transposed, tanhs, v[:count], slopes, more[:count], ku[:count])
        for p in range(count):
            kz[p] = -kz[p]


@kernel
def _rows(a: np.ndarray, blocks: int, n: int, dim: int, kept: np.ndarray, left: int) -> None:
    """Of each of ``blocks`` blocks of ``n`` rows, one behind the other, keeps the ``left`` rows ``kept``, ascending."""
    for q in range(blocks):
        for c in range(left):
            there, here = (q * left + c) * dim, (q * n + kept[c]) * dim
            for j in range(dim):
                a[there + j] = a[here + j]


@kernel
def _first_step(
    size: np.ndarray,
    speed: np.ndarray,
    bend: np.ndarray,
    trial: np.ndarray,
    n: int,
    order: int,
    rtol: float,
    atol: float,
) -> None:
    """``trial`` from the sizes of state and slope, and then, where ``bend`` is known, the first step in its place."""
    for s in range(n):
        scale = atol + rtol * size[s]
        if bend[s] < _ZERO:
            small = size[s] < np.float32(1e-5) * scale or speed[s] < np.float32(1e-5) * scale
            trial[s] = np.float32(1e-6) if small else np.float32(0.01) * size[s] / speed[s]
            continue
        steepest = max(speed[s], bend[s] / trial[s]) / scale
        if steepest <= np.float32(1e-15):
            step = max(trial[s] * np.float32(1e-3), np.float32(1e-6))
        else:
            step = (np.float32(0.01) / steepest) ** (_ONE / np.float32(order + 1))
        trial[s] = min(np.float32(100) * trial[s], step)


@kernel
def _answer(
    z: np.ndarray,
    u: np.ndarray,
    s: int,
    dim: int,
    back: bool,
    size: float,
    ratio: float,
    rtol: float,
    atol: float,
    answer: np.ndarray,
    residual: np.ndarray,
    there: int,
) -> None:
    """Hands over the ``s``-th sample's state, or gradient, and its last error relative to the state's size."""
    source = u if back else z
    for j in range(dim):
        answer[j] = source[s * dim + j]
    residual[there] = ratio * (atol + rtol * size) / max(size, _TINY)


@kernel
def adaptive(
    weight: np.ndarray,
    transposed: np.ndarray,
    offset: np.ndarray,
    start: np.ndarray,
    gradient: np.ndarray,
    back: bool,
    a: np.ndarray,
    b: np.ndarray,
    error: np.ndarray,
    order: int,
    rtol: float,
    atol: float,
    max_steps: int,
    keep: bool,
    tape: np.ndarray,
    sizes: np.ndarray,
    answer: np.ndarray,
    d_weight: np.ndarray,
    d_offset: np.ndarray,
    accepted: np.ndarray,
    attempts: np.ndarray,
    residual: np.ndarray,
    finished: np.ndarray,
) -> bool:
    """Integrates each sample over a time of 1, forward, or backward together with the adjoint equation.

    Args:
        weight: ``(replicates, maps, dim in, dim out)``.
        transposed: the same with its last axes swapped; used if ``back``.
        offset: ``(replicates, batch, maps dim)``.
        start: the state where it begins, ``(replicates, batch, dim)``.
        gradient: of the state, where it begins; used if ``back``.
        back: backward in time.
        a: the tableau's matrix, ``(stages, stages)``, its last row ``b``.
        b: its weights.
        error: b minus the weights of the embedded method.
        order: of the method.
        rtol: relative tolerance.
        atol: absolute tolerance.
        max_steps: attempts.
        keep: whether states and sizes of accepted steps are wanted.
        tape: set to the states before each step, ``(replicates, max_steps, batch, dim)``.
        sizes: set to each step's size, ``(replicates, max_steps, batch)``.
        answer: set to the state, or if ``back`` its gradient, at the end, ``(replicates, batch, dim)``.
        d_weight: if ``back``, set to the weight's gradient.
        d_offset: if ``back``, set to the offset's gradient.
        accepted: set to the accepted steps, int32 ``(replicates, batch)``.
        attempts: set to the attempted steps, int32.
        residual: set to the last accepted error, relative to the state's size.
        finished: set to whether the sample reached the end, bool.

    Returns:
        Whether all went well; else what was set is meaningless.
    """
    replicates, batch, dim = start.shape
    maps, stages, full = weight.shape[1], a.shape[0], batch * dim
    extra, last = full if back else 0, stages - 1
    z, u = np.empty(full, np.float32), np.empty(extra, np.float32)
    x, v = np.empty((stages, full), np.float32), np.empty((stages, extra), np.float32)
    kz, ku = np.empty((stages, full), np.float32), np.empty((stages, extra), np.float32)
    o, factors = np.empty(maps * full, np.float32), np.empty(maps * full, np.float32)
    here, scaled = np.empty((stages, maps * extra), np.float32), np.empty(extra, np.float32)
    more, off, off_u = np.empty(extra, np.float32), np.empty(full, np.float32), np.empty(extra, np.float32)
    size, wrong, new_size = np.empty(batch, np.float32), np.empty(batch, np.float32), np.empty(batch, np.float32)
    speed, h, taken = np.empty(batch, np.float32), np.empty(batch, np.float32), np.empty(batch, np.float32)
    left, memory, limit = np.empty(batch, np.float32), np.empty(batch, np.float32), np.empty(batch, np.float32)
    ratio, place, stay = np.empty(batch, np.float32), np.empty(batch, np.int64), np.empty(batch, np.int64)
    good, product = np.empty(batch, np.bool_), np.empty((dim, dim), np.float32)
    power = np.float32(0.75) * _INTEGRAL - _ONE / np.float32(order)
    for r in range(replicates):
        n, count = batch, full
        copy(start[r].reshape(-1), z)
        for q in range(maps):
            copy_columns(offset[r], q * dim, o[q * full : (q + 1) * full].reshape(batch, dim))
        if back:
            copy(gradient[r].reshape(-1), u)
            d_weight[r], d_offset[r] = _ZERO, _ZERO
        for s in range(batch):
            place[s], left[s], ratio[s] = s, _ONE, _ZERO
            memory[s], limit[s] = _SAFETY * _SMALLEST**_INTEGRAL, _GROW
            accepted[r, s], attempts[r, s], finished[r, s] = 0, 0, False
        _slope(weight[r], transposed[r], o, z, u, count, back, factors, here[0], more, kz[0], ku[0])
        _size(z, u, n, dim, back, size)
        _size(kz[0], ku[0], n, dim, back, speed)
        wrong[:] = -_ONE
        _first_step(size, speed, wrong, h, n, order, rtol, atol)
        copy(kz[0], x[1])
        move(z, h, n, dim, x[1])
        if back:
            copy(ku[0], v[1])
            move(u, h, n, dim, v[1])
        _slope(weight[r], transposed[r], o, x[1], v[1], count, back, factors, here[1], more, kz[1], ku[1])
        for p in range(full):
            kz[1, p] -= kz[0, p]
        for p in range(extra):
            ku[1, p] -= ku[0, p]
        _size(kz[1], ku[1], n, dim, back, wrong)
        _first_step(size, speed, wrong, h, n, order, rtol, atol)
        for s in range(n):
            if not (np.isfinite(h[s]) and np.isfinite(size[s]) and np.isfinite(speed[s])):
                return False
        for _ in range(max_steps):
            for s in range(n):
                taken[s] = min(h[s], left[s])
                attempts[r, place[s]] += 1
            for i in range(1, stages):
                combine(kz, a[i], i, count, x[i])
                move(z, taken, n, dim, x[i])
                if back:
                    combine(ku, a[i], i, count, v[i])
                    move(u, taken, n, dim, v[i])
                _slope(weight[r], transposed[r], o, x[i], v[i], count, back, factors, here[i], more, kz[i], ku[i])
            combine(kz, error, stages, count, off)
            if back:
                combine(ku, error, stages, count, off_u)
            _size(off, off_u, n, dim, back, wrong)
            _size(x[last], v[last], n, dim, back, new_size)
            for s in range(n):
                found = taken[s] * wrong[s] / (atol + rtol * max(size[s], new_size[s]))
                if not (np.isfinite(found) and np.isfinite(new_size[s])):
                    return False
                bounded = max(found, _SMALLEST)
                factor = min(max(bounded**power * memory[s], _SHRINK), limit[s])
                good[s] = found <= _ONE
                if good[s]:
                    memory[s], limit[s], ratio[s] = _SAFETY * bounded**_INTEGRAL, _GROW, found
                    left[s] -= taken[s]
                    there = place[s]
                    step = accepted[r, there]
                    if keep:
                        sizes[r, step, there] = taken[s]
                        for j in range(dim):
                            tape[r, step, there, j] = z[s * dim + j]
                    accepted[r, there] = step + 1
                else:
                    factor, limit[s] = min(factor, _SAFETY), _ONE
                h[s] = taken[s] * factor
                if h[s] < _LEAST_STEP and left[s] > h[s]:
                    return False
            if back:
                for i in range(stages):
                    if b[i] == _ZERO:
                        continue
                    states = z if i == 0 else x[i]
                    for q in range(maps):
                        slopes = here[i, q * count : (q + 1) * count]
                        for s in range(n):
                            share = b[i] * taken[s] if good[s] else _ZERO
                            there = place[s]
                            for j in range(dim):
                                one = share * slopes[s * dim + j]
                                scaled[s * dim + j] = one
                                d_offset[r, there, q * dim + j] += one
                        add_product(states[:count], scaled[:count], _ONE, product, d_weight[r, q])
            c = 0
            for s in range(n):
                if good[s]:
                    size[s] = new_size[s]
                    for j in range(s * dim, (s + 1) * dim):
                        z[j], kz[0, j] = x[last, j], kz[last, j]
                    if back:
                        for j in range(s * dim, (s + 1) * dim):
                            u[j], ku[0, j] = v[last, j], ku[last, j]
                        for q in range(maps):
                            for j in range(q * count + s * dim, q * count + (s + 1) * dim):
                                here[0, j] = here[last, j]
                if left[s] > _ZERO:
                    stay[c] = s
                    c += 1
                else:
                    finished[r, place[s]] = True
                    _answer(
                        z, u, s, dim, back, size[s], ratio[s], rtol, atol, answer[r, place[s]], residual[r], place[s]
                    )
            if c < n:
                for k in range(c):
                    s = stay[k]
                    size[k], h[k], left[k], memory[k], limit[k] = size[s], h[s], left[s], memory[s], limit[s]
                    ratio[k], place[k] = ratio[s], place[s]
                _rows(z, 1, n, dim, stay, c)
                _rows(kz[0], 1, n, dim, stay, c)
                _rows(o, maps, n, dim, stay, c)
                if back:
                    _rows(u, 1, n, dim, stay, c)
                    _rows(ku[0], 1, n, dim, stay, c)
                    _rows(here[0], maps, n, dim, stay, c)
                n, count = c, c * dim
            if n == 0:
                break
        for s in range(n):
            _answer(z, u, s, dim, back, size[s], ratio[s], rtol, atol, answer[r, place[s]], residual[r], place[s])
    return True
