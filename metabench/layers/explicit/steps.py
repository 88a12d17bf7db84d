"""Hands explicit steps to the compiled loop where there is one for them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metabench.layers.fixed_point.compiled import has_compiler
from metabench.layers.fixed_point.form import Form
from metabench.layers.ode.step import explicit_step
from metabench.layers.ode.tableau import ButcherTableau
from metabench.layers.transforms import under_transform

__all__ = ["Plan", "cell_value", "compiled_steps", "stacked_weight"]

_MAPS = {"tanh": 1, "gated": 2}


@dataclass(frozen=True)
class Plan:
    """Which steps are taken.

    Attributes:
        steps: how many.
        tableau: of the Runge-Kutta method that integrates dz/dt = f(z); None iterates z <- f(z).
        span: time integrated over, in equal steps.
    """

    steps: int
    tableau: ButcherTableau | None = None
    span: float = 1.0

    @cached_property
    def a(self) -> np.ndarray:
        """The tableau's matrix times the step, float32 ``(stages, stages)``."""
        full = np.zeros((1, 1)) if self.tableau is None else self.tableau.matrix
        return (full * self.span / self.steps).astype(np.float32)

    @cached_property
    def b(self) -> np.ndarray:
        """The tableau's weights times the step, float32 ``(stages,)``; empty for plain iteration."""
        weights = () if self.tableau is None else self.tableau.b
        return (np.array(weights) * self.span / self.steps).astype(np.float32)

    @property
    def evaluations(self) -> int:
        """Function evaluations in all."""
        return self.steps * len(self.a)


def cell_value(weight: Tensor, offset: Tensor, z: Tensor) -> Tensor:
    """The cell by torch operations; ``weight`` ``(replicates, maps, dim, dim)``."""
    maps = weight.shape[1]
    wide = weight.transpose(1, 2).flatten(2)
    a = torch.tanh(torch.baddbmm(offset, z, wide))
    if maps == 1:
        return a
    candidate, gate = a.unflatten(-1, (maps, -1)).unbind(-2)
    return torch.addcmul(candidate, candidate, gate)


def _in_torch(weight: Tensor, offset: Tensor, z: Tensor, plan: Plan) -> Tensor:
    """The steps by torch operations, which can be differentiated again."""
    for _ in range(plan.steps):
        if plan.tableau is None:
            z = cell_value(weight, offset, z)
        else:
            z = explicit_step(
                lambda _, x: cell_value(weight, offset, x), plan.tableau, 0.0, z, plan.span / plan.steps
            ).z
    return z


class _Steps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, weight: Tensor, offset: Tensor, z: Tensor, plan: Plan, keep: bool) -> Tensor:
        from metabench.layers.explicit.kernels import forward
        from metabench.layers.kernels import on_one_thread

        replicates, batch, dim = z.shape
        maps, evaluations = weight.shape[1], plan.evaluations if keep else 1
        rows = replicates if keep else 1
        states = torch.empty(rows, evaluations, batch * dim)
        factors = torch.empty(rows, evaluations, maps, batch * dim)
        answer = torch.empty(z.shape)
        arrays = [t.detach().contiguous().numpy() for t in (weight, offset, z)]
        kept = (states.numpy(), factors.numpy())
        on_one_thread(forward, *arrays, plan.steps, plan.a, plan.b, keep, *kept, answer.numpy())
        if keep:
            ctx.save_for_backward(weight, offset, z)
            ctx.plan, ctx.states, ctx.factors = plan, states, factors
        return answer

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, ...]:
        from metabench.layers.explicit.kernels import backward
        from metabench.layers.kernels import on_one_thread

        weight, offset, z = ctx.saved_tensors
        if torch.is_grad_enabled():  # asked for a graph of the gradient
            inputs = [t for t in (weight, offset, z) if t.requires_grad]
            found = iter(
                torch.autograd.grad(_in_torch(weight, offset, z, ctx.plan), inputs, grads[0], create_graph=True)
            )
            return (*(next(found) if t.requires_grad else None for t in (weight, offset, z)), None, None)
        outs = [torch.empty(t.shape) for t in (weight, offset, z)]
        on_one_thread(
            backward,
            weight.detach().mT.contiguous().numpy(),
            grads[0].contiguous().numpy(),
            ctx.plan.steps,
            ctx.plan.a,
            ctx.plan.b,
            ctx.states.numpy(),
            ctx.factors.numpy(),
            *(t.numpy() for t in outs),
        )
        return (*outs, None, None)


def stacked_weight(form: Form, z: Tensor) -> Tensor | None:
    """The form's weight, ``(replicates, maps, dim in, dim out)``; None where there is no compiled loop for it."""
    if form.kind not in _MAPS or z.dtype != torch.float32 or z.ndim != 3 or z.device.type != "cpu":
        return None
    if not has_compiler() or under_transform() or torch._C._len_torch_dispatch_stack():
        return None
    return form.weight.unflatten(-1, (_MAPS[form.kind], -1)).transpose(1, 2)


def compiled_steps(form: Form, z: Tensor, plan: Plan) -> Tensor | None:
    """The state after the steps of ``plan``, equal to torch's up to rounding; None where torch has to take them.

    The compiled loop is for float32 states ``(replicates, batch, dim)`` on a CPU that stay finite and the forms of
    cells ("tanh" and "gated"), with numba installed, outside ``torch.func`` transforms, and not while operations are
    watched, as FLOP counters do. Gradients are those of backpropagation, of any order.

    Args:
        form: f.
        z: where the steps begin, ``(replicates, batch, dim)``.
        plan: the steps.
    """
    weight = stacked_weight(form, z)
    if weight is None:
        return None
    keep = torch.is_grad_enabled() and any(t.requires_grad for t in (weight, form.offset, z))
    answer: Any = _Steps.apply(weight, form.offset, z, plan, keep)
    return answer if math.isfinite(answer.detach().sum().item()) else None
