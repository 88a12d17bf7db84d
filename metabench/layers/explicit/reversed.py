"""Flows on a fixed grid whose gradient is the adjoint equation's, both solved by the compiled loop."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from metabench.layers.adjoint.first_order import refuse_second_order
from metabench.layers.explicit.adaptive import flow_gradients
from metabench.layers.explicit.steps import Plan, stacked_weight
from metabench.layers.fixed_point.form import Form
from metabench.layers.ode.continuous import ContinuousAdjoint
from metabench.layers.ode.solver import ODESolver
from metabench.layers.record import SolveRecord

__all__ = ["compiled_flow_reversed"]


class _Flow(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        weight: Tensor,
        offset: Tensor,
        z: Tensor,
        plan: Plan,
        solver: ODESolver,
        adjoint: ContinuousAdjoint,
        records: list[SolveRecord],
    ) -> Tensor:
        from metabench.layers.explicit.kernels import forward
        from metabench.layers.kernels import on_one_thread

        answer, dim = torch.empty(z.shape), z.shape[1] * z.shape[2]
        states, factors = torch.empty(1, 1, dim), torch.empty(1, 1, weight.shape[1], dim)  # of one evaluation
        arrays = [t.detach().contiguous().numpy() for t in (weight, offset, z)]
        kept = (states.numpy(), factors.numpy())
        on_one_thread(forward, *arrays, plan.steps, plan.a, plan.b, False, *kept, answer.numpy())
        ctx.save_for_backward(weight, offset, z, answer)
        ctx.plan, ctx.solver, ctx.adjoint, ctx.records = plan, solver, adjoint, records
        return answer

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from metabench.layers.explicit.kernels import reverse
        from metabench.layers.kernels import on_one_thread

        refuse_second_order("continuous ODE adjoint")
        weight, offset, z, end = ctx.saved_tensors
        plan, (record,) = ctx.plan, ctx.records
        found = [torch.empty(t.shape) for t in (weight, offset, z)]
        arrays = [t.detach().contiguous().numpy() for t in (weight, weight.mT, offset, end, grads[0])]
        on_one_thread(reverse, *arrays, plan.steps, -plan.a, -plan.b, *(t.numpy() for t in found))
        if all(math.isfinite(t.sum().item()) for t in found):
            record.backward = SolveRecord.explicit(found[-1], nfe=plan.evaluations, steps=plan.steps)
        else:
            found, record.backward = flow_gradients(weight, offset, z, grads[0], ctx.solver, ctx.adjoint)
        return (*found, None, None, None, None)


def compiled_flow_reversed(
    form: Form, z: Tensor, plan: Plan, solver: ODESolver, adjoint: ContinuousAdjoint
) -> tuple[Tensor, SolveRecord] | None:
    """What ``ode_solve`` answers with a :class:`ContinuousAdjoint`, up to rounding; None where it has to do it.

    The compiled loop is for what :func:`~metabench.layers.explicit.compiled_steps` says.

    Args:
        form: the vector field.
        z: the state at the beginning, ``(replicates, batch, dim)``.
        plan: the steps of ``solver``.
        solver: on a fixed grid.
        adjoint: with the forward solver.
    """
    weight = stacked_weight(form, z)
    if weight is None or adjoint.solver is not None:
        return None
    records: list[SolveRecord] = []
    out: Any = _Flow.apply(weight, form.offset, z, plan, solver, adjoint, records)
    if not math.isfinite(out.detach().sum().item()):
        return None
    # With a gradient to come, two evaluations more: one that looks for parameters, one to compare with at the way back.
    more = 2 if torch.is_grad_enabled() else 0
    record = SolveRecord.explicit(out, nfe=plan.evaluations + more, steps=plan.steps)
    record.backward = None
    records.append(record)
    return out, record
