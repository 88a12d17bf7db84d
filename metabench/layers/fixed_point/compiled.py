"""Hands a solve to the compiled loop where there is one for it."""

from __future__ import annotations

from functools import lru_cache
from importlib.util import find_spec
from typing import Any, NamedTuple

import torch
from torch import Tensor

from metabench.layers.fixed_point.alternating import AlternatingAnderson
from metabench.layers.fixed_point.anderson import Anderson
from metabench.layers.fixed_point.broyden import Broyden
from metabench.layers.fixed_point.mapping import Mapping
from metabench.layers.fixed_point.picard import Picard
from metabench.layers.fixed_point.solver import FixedPointSolver
from metabench.layers.record import SolveRecord
from metabench.layers.stopping import Tolerance

__all__ = ["compiled_iterate", "has_compiler"]


@lru_cache(maxsize=1)
def has_compiler() -> bool:
    """Whether numba is installed."""
    return find_spec("numba") is not None


class _Steps(NamedTuple):
    """What the compiled loop does with an image."""

    memory: int
    period: int = 1
    delay: int = 0
    ridge: float | None = None
    secant: bool = False


def _steps(solver: FixedPointSolver, max_steps: int) -> _Steps | None:
    """A solver in the terms of the compiled loop; None if it has none, or is not asked to be compiled."""
    match solver:
        case AlternatingAnderson(compiled=True):
            return _Steps(solver.memory, solver.period, solver.delay, solver.ridge)
        case Anderson(compiled=True, mixing=1.0):
            return _Steps(solver.memory, 1, solver.delay, solver.ridge)
        case Picard(compiled=True, damping=1.0):
            return _Steps(2, max_steps + 2)  # the first mixture would be after the last step
        case Broyden(compiled=True):
            return _Steps(solver.memory, secant=True)
    return None


def compiled_iterate(
    mapping: Mapping, z: Tensor, solver: FixedPointSolver, stopping: Tolerance, scale: Tensor | None
) -> tuple[Tensor, SolveRecord] | None:
    """What :func:`~metabench.layers.fixed_point.iterate` answers, equal up to rounding; None where it has to do it.

    The compiled loop is for float32 states ``(replicates, batch, dim)`` on a CPU, maps whose form is known and solvers
    with ``compiled=True``, undamped, and not while operations are watched, as FLOP counters do.
    """
    how = _steps(solver, stopping.max_steps)
    if how is None or not has_compiler():
        return None
    if z.dtype != torch.float32 or z.ndim != 3 or z.device.type != "cpu":
        return None
    if torch._C._len_torch_dispatch_stack():  # somebody counts operations, which compiled ones would escape
        return None
    form = mapping.form()
    if form is None:
        return None
    from metabench.layers.fixed_point.kernels import KINDS, solve
    from metabench.layers.kernels import on_one_thread

    def array(t: Tensor) -> Any:
        return t.detach().contiguous().numpy()

    (rtol, atol), root = stopping.limits(z.dtype), z.shape[-1] ** 0.5
    answer, axes = torch.empty(z.shape), z.shape[:-1]
    residual, nfe = torch.empty(axes), torch.empty(axes, dtype=torch.int32)
    status = torch.empty(axes, dtype=torch.int8)
    least = torch.zeros(axes) if scale is None else scale.expand(axes) * root
    factors = z.new_empty((*axes, 0)) if form.factors is None else form.factors
    ridge = 8 * torch.finfo(z.dtype).eps if how.ridge is None else how.ridge
    low, high = (torch.tensor(form.bounds, dtype=z.dtype)).numpy()
    rule = torch.tensor([rtol, atol * root, ridge], dtype=z.dtype).numpy()
    on_one_thread(
        solve,
        KINDS.index(form.kind),
        array(form.weight),
        array(form.offset),
        array(factors),
        low,
        high,
        array(z),
        array(least),
        rule[0],
        rule[1],
        stopping.max_steps,
        stopping.check_every or solver.check_every,
        how.memory,
        how.period,
        how.delay,
        rule[2],
        how.secant,
        answer.numpy(),
        residual.numpy(),
        nfe.numpy(),
        status.numpy(),
    )
    return answer, SolveRecord(status, nfe.clone(), nfe, residual)
