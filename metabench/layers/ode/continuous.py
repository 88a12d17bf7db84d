"""The adjoint equation solved backward in time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metabench.errors import DifferentiationError
from metabench.layers.adjoint.first_order import refuse_second_order
from metabench.layers.adjoint.image import require_same
from metabench.layers.ode.adjoint import ODEAdjoint
from metabench.layers.ode.captured import captured_parameters
from metabench.layers.ode.solver import ODESolver, VectorField
from metabench.layers.record import Policy, SolveRecord, SolveStatus, apply_policy
from metabench.layers.transforms import under_transform

__all__ = ["ContinuousAdjoint"]


class _Attach(torch.autograd.Function):
    """Forward the solved states ``(n, ..., dim)``; backward what ``solve`` makes of their gradient."""

    @staticmethod
    def forward(ctx: Any, value: Tensor, solve: Callable[[Tensor], tuple[Tensor, ...]], *inputs: Tensor) -> Tensor:
        ctx.solve = solve
        return value.clone()

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        refuse_second_order("continuous ODE adjoint")
        return None, None, *ctx.solve(grad)


class _ReverseField:
    """d(z, a)/dt = (f, -a^T df/dz), and the gradient of the parameters: the integral of a^T df/dtheta."""

    def __init__(self, f: VectorField, parameters: tuple[Tensor, ...]) -> None:
        self._f = f
        self._parameters = parameters
        self.gradients = [torch.zeros_like(p) for p in parameters]

    def __call__(self, t: float | Tensor, state: Tensor) -> Tensor:
        z, a = state.chunk(2, dim=-1)
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            slope = self._f(t, leaf)
        product = None
        if slope.requires_grad:
            (product,) = torch.autograd.grad(slope, leaf, a, allow_unused=True)
        return torch.cat([slope.detach(), torch.zeros_like(a) if product is None else -product], dim=-1)

    def observe(self, times: Sequence[Any], states: Sequence[Tensor], weights: Sequence[Any]) -> None:
        """Adds one step's quadrature; its sign is that of a solve backward from the end."""
        for t, state, weight in zip(times, states, weights, strict=True):
            if not self._parameters or (not isinstance(weight, Tensor) and weight == 0.0):
                continue
            z, a = state.chunk(2, dim=-1)
            with torch.enable_grad():
                slope = self._f(t, z.detach())
            if not slope.requires_grad:
                continue
            # A sample that did not step has weight 0, and may not be finite.
            cotangent = (weight * a).masked_fill(weight == 0.0, 0.0) if isinstance(weight, Tensor) else weight * a
            parts = torch.autograd.grad(slope, self._parameters, cotangent, allow_unused=True)
            for total, part in zip(self.gradients, parts, strict=True):
                if part is not None:
                    total -= part


@dataclass(frozen=True)
class ContinuousAdjoint(ODEAdjoint):
    """da/dt = -a^T df/dz, solved backward together with z: memory that does not grow with the steps. Opt-in.

    It differentiates the equation, not what was computed, so its gradient is right only to the accuracy of two solves.
    On contracting dynamics the reverse solve is unstable: measured there, its gradient was wrong by 0.6 to 1.2 in
    relative norm. Prefer :class:`Backprop`, or :class:`Checkpointed` where memory is short. First derivatives only.

    Attributes:
        parameters: the tensors besides ``z0`` that get a gradient: everything that ``f`` closes over and that requires
            one. None finds them, if they are all leaves.
        solver: solves backward, in the state (z, a) of twice the dimension; None is the forward solver.
        policy: what to do with samples whose backward solve fails.

    Reference: Pontryagin et al. (1962); Chen et al. (2018), arXiv:1806.07366, section 2.
    """

    parameters: tuple[Tensor, ...] | None = None
    solver: ODESolver | None = None
    policy: Policy = "warn"

    def solve(
        self, f: VectorField, z0: Tensor, times: Sequence[float], solver: ODESolver
    ) -> tuple[list[Tensor], SolveRecord]:
        """Solves without a graph, and attaches the backward solve; one evaluation more, to find the parameters."""
        if under_transform():
            raise DifferentiationError(
                "the continuous ODE adjoint does not run under torch.func transforms; use adjoint=Backprop()."
            )
        with torch.no_grad():
            path, record = solver.integrate(f, z0, times)
        record.backward = None
        if not torch.is_grad_enabled():
            return path, record
        start = z0.new_full((*z0.shape[:-1], 1), times[0])
        parameters = captured_parameters(f, start, z0, self.parameters)
        with torch.no_grad():
            slope = f(start, z0)
        record.nfe = record.nfe + 2
        if not z0.requires_grad and not parameters:
            return path, record
        # 0 times NaN is NaN, and would reach the parameters that samples share.
        bad = (record.status == SolveStatus.DIVERGED.code)[..., None]
        states, backward_solver = [state.detach().masked_fill(bad, 0.0) for state in path], self.solver or solver
        dim = z0.shape[-1]

        def solve(grad: Tensor) -> tuple[Tensor, ...]:
            with torch.no_grad():
                require_same(slope, f(start, z0), None, "continuous ODE adjoint", "Backprop()")
            grad = grad.masked_fill(bad, 0.0)
            field, a, records = _ReverseField(f, parameters), grad[-1], []
            for i in range(len(times) - 1, 0, -1):
                back, part = backward_solver.integrate(
                    field, torch.cat([states[i], a], dim=-1), (times[i], times[i - 1]), observe=field.observe
                )
                records.append(part)
                a = back[-1][..., dim:] + grad[i - 1]
            record.backward = _joined(records)
            return apply_policy(a, record.backward, self.policy, "continuous ODE adjoint"), *field.gradients

        value: Any = _Attach.apply(torch.stack(path).detach(), solve, z0, *parameters)
        return list(value.unbind(0)), record


def _joined(records: Sequence[SolveRecord]) -> SolveRecord:
    """One record of consecutive solves: the worst status and residual, and the sums of what was spent."""
    total = records[0]
    for record in records[1:]:
        total = SolveRecord(
            torch.maximum(total.status, record.status),
            total.steps + record.steps,
            total.nfe + record.nfe,
            torch.maximum(total.residual, record.residual),
        )
    return SolveRecord(total.status, total.steps, total.nfe, total.residual)
