"""Flows integrated adaptively, with either gradient, by the compiled loop where there is one for them."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metabench.layers.adjoint.first_order import refuse_second_order
from metabench.layers.explicit.steps import cell_value, stacked_weight
from metabench.layers.fixed_point.form import Form
from metabench.layers.ode.adjoint import ODEAdjoint
from metabench.layers.ode.backprop import Backprop
from metabench.layers.ode.continuous import ContinuousAdjoint
from metabench.layers.ode.embedded import Bosh3, Dopri5, Tsit5
from metabench.layers.ode.layer import ode_solve
from metabench.layers.ode.solver import ODESolver
from metabench.layers.ode.tableau import BOSH3, DOPRI5, TSIT5, ButcherTableau
from metabench.layers.record import SolveRecord, SolveStatus
from metabench.layers.stopping import Tolerance

__all__ = ["compiled_adaptive_flow", "flow_gradients"]

_TABLEAUS: dict[type[ODESolver], ButcherTableau] = {Dopri5: DOPRI5, Tsit5: TSIT5, Bosh3: BOSH3}


class _Coefficients(NamedTuple):
    a: np.ndarray  # (stages, stages)
    b: np.ndarray
    error: np.ndarray


@lru_cache
def _coefficients(tableau: ButcherTableau) -> _Coefficients:
    parts = (tableau.matrix, tableau.b, tableau.error)
    return _Coefficients(*(np.array(part, dtype=np.float32) for part in parts))


@dataclass(frozen=True)
class _Solved:
    answer: Tensor  # (replicates, batch, dim)
    record: SolveRecord
    tape: Tensor | None  # states before the accepted steps, (replicates, steps, batch, dim)
    sizes: Tensor | None  # (replicates, steps, batch)
    weight: Tensor | None  # gradients, of a solve backward in time
    offset: Tensor | None


def _solve(
    weight: Tensor,
    offset: Tensor,
    start: Tensor,
    solver: Dopri5 | Tsit5 | Bosh3,
    *,
    gradient: Tensor | None = None,
    keep: bool = False,
) -> _Solved | None:
    """Runs the compiled loop, back in time if there is a ``gradient``; None where it cannot answer."""
    from metabench.layers.explicit.adaptive_kernels import adaptive
    from metabench.layers.kernels import on_one_thread

    tableau, axes, back = _TABLEAUS[type(solver)], start.shape[:-1], gradient is not None
    replicates, batch, dim = start.shape
    steps = solver.max_steps if keep else 0
    tape, sizes = torch.empty(replicates, steps, batch, dim), torch.empty(replicates, steps, batch)
    answer, residual = torch.empty(start.shape), torch.empty(axes)
    accepted, attempts = torch.empty(axes, dtype=torch.int32), torch.empty(axes, dtype=torch.int32)
    finished = torch.empty(axes, dtype=torch.bool)
    d_weight, d_offset = (torch.empty(t.shape if back else (0,) * t.ndim) for t in (weight, offset))
    rtol, atol = Tolerance(atol=solver.atol, rtol=solver.rtol).limits(start.dtype)
    inputs = (weight, weight.mT, offset, start, start if gradient is None else gradient)
    outputs = (tape, sizes, answer, d_weight, d_offset, accepted, attempts, residual, finished)
    well = on_one_thread(
        adaptive,
        *(t.detach().contiguous().numpy() for t in inputs),
        back,
        *_coefficients(tableau),
        tableau.order,
        *np.array([rtol, atol], dtype=np.float32),
        solver.max_steps,
        keep,
        *(t.numpy() for t in outputs),
    )
    if not well:
        return None
    status = torch.where(finished, SolveStatus.CONVERGED.code, SolveStatus.MAX_STEPS.code).to(torch.int8)
    stages = len(tableau.b) - 1
    record = SolveRecord(status, accepted, attempts * stages + 2, residual)
    if keep:
        return _Solved(answer, record, tape, sizes, None, None)
    return _Solved(answer, record, None, None, d_weight if back else None, d_offset if back else None)


def flow_gradients(
    weight: Tensor,
    offset: Tensor,
    z: Tensor,
    gradient: Tensor,
    solver: ODESolver,
    adjoint: ODEAdjoint,
    *,
    create_graph: bool = False,
) -> tuple[list[Tensor | None], SolveRecord | None]:
    """Gradients of a flow by torch operations, and the record of the solve back.

    Args:
        weight: ``(replicates, maps, dim, dim)``.
        offset: ``(replicates, batch, maps dim)``.
        z: the state at the beginning.
        gradient: that of the state at the end.
        solver: integrates.
        adjoint: how the gradient is found.
        create_graph: so that it can be differentiated again.
    """
    inputs = (weight, offset, z) if create_graph else tuple(t.detach().requires_grad_() for t in (weight, offset, z))
    w, o, h = inputs
    if isinstance(adjoint, ContinuousAdjoint):
        adjoint = replace(adjoint, parameters=(w, o))
    with torch.enable_grad():
        solution = ode_solve(lambda _, x: cell_value(w, o, x), h, solver=solver, adjoint=adjoint, policy="keep")
    wanted = [t for t in inputs if t.requires_grad]
    found = iter(torch.autograd.grad(solution.value, wanted, gradient, create_graph=create_graph))
    return [next(found) if t.requires_grad else None for t in inputs], solution.record.backward


class _Flow(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, weight: Tensor, offset: Tensor, z: Tensor, solved: _Solved, solver: Any, adjoint: ODEAdjoint
    ) -> Tensor:
        ctx.save_for_backward(weight, offset, z)
        ctx.solved, ctx.solver, ctx.adjoint = solved, solver, adjoint
        return solved.answer.clone()

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        weight, offset, z = ctx.saved_tensors
        solved: _Solved = ctx.solved
        if isinstance(ctx.adjoint, ContinuousAdjoint):
            refuse_second_order("continuous ODE adjoint")
            back = _solve(weight, offset, solved.answer, ctx.solver, gradient=grads[0])
            if back is None:
                found, solved.record.backward = flow_gradients(weight, offset, z, grads[0], ctx.solver, ctx.adjoint)
                return (*found, None, None, None)
            solved.record.backward = back.record
            return back.weight, back.offset, back.answer, None, None, None
        if torch.is_grad_enabled():  # asked for a graph of the gradient
            found, _ = flow_gradients(weight, offset, z, grads[0], ctx.solver, ctx.adjoint, create_graph=True)
            return (*found, None, None, None)
        from metabench.layers.explicit.taped_kernels import taped_backward
        from metabench.layers.kernels import on_one_thread

        tableau = _coefficients(_TABLEAUS[type(ctx.solver)])
        outs = [torch.empty(t.shape) for t in (weight, offset, z)]
        inputs = (weight, weight.mT, offset, grads[0])
        kept = (solved.tape, solved.sizes, solved.record.steps)
        on_one_thread(
            taped_backward,
            *(t.detach().contiguous().numpy() for t in inputs),
            tableau.a,
            tableau.b,
            *(t.numpy() for t in kept if t is not None),
            *(t.numpy() for t in outs),
        )
        return (*outs, None, None, None)


def compiled_adaptive_flow(
    form: Form, z: Tensor, solver: ODESolver, adjoint: ODEAdjoint
) -> tuple[Tensor, SolveRecord] | None:
    """What ``ode_solve`` answers over a time of 1, up to rounding; None where it has to do it.

    The compiled loop is for what :func:`~metabench.layers.explicit.compiled_steps` says, and for adaptive solvers that
    choose their first step.

    Args:
        form: the vector field.
        z: the state at the beginning, ``(replicates, batch, dim)``.
        solver: with its tolerance.
        adjoint: how the gradient is found.
    """
    if not isinstance(solver, Dopri5 | Tsit5 | Bosh3) or solver.first_step is not None:
        return None
    continuous = isinstance(adjoint, ContinuousAdjoint)
    if not (isinstance(adjoint, Backprop) or (continuous and adjoint.solver is None)):
        return None
    weight = stacked_weight(form, z)
    if weight is None:
        return None
    graph = torch.is_grad_enabled()
    wanted = graph and any(t.requires_grad for t in (weight, form.offset, z))
    solved = _solve(weight, form.offset, z, solver, keep=wanted and not continuous)
    if solved is None or not math.isfinite(solved.answer.sum().item()):
        return None
    record = solved.record
    if not continuous:
        record.backward = SolveRecord(
            record.status, record.steps, record.steps * (len(_TABLEAUS[type(solver)].b) - 1), record.residual
        )
    elif graph:
        record.nfe = record.nfe + 2  # one that looks for parameters, one to compare with on the way back
    if not wanted:
        return solved.answer, record
    out: Any = _Flow.apply(weight, form.offset, z, solved, solver, adjoint)
    return out, record
