"""Explicit Runge-Kutta methods on a fixed grid."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.ode.solver import Observe, ODESolver, Run, VectorField
from metabench.layers.ode.step import Step, explicit_step
from metabench.layers.ode.tableau import EULER, MIDPOINT, RK4, ButcherTableau
from metabench.layers.record import SolveRecord, SolveStatus
from metabench.layers.transforms import under_vmap

__all__ = ["Euler", "Midpoint", "RungeKutta4"]


def _call(step: Any, *arguments: Any) -> Any:
    return step(*arguments)


def _check_steps(steps: int) -> None:
    if steps < 1:
        raise ArgumentError(f"steps={steps}: expected at least 1.")


def _grid(times: Sequence[float], steps: int) -> Iterator[tuple[float, float, bool]]:
    """Time, step and whether the step ends at one of ``times``."""
    for start, end in pairwise(times):
        h = (end - start) / steps
        for i in range(steps):
            yield start + i * h, h, i == steps - 1


def _show(observe: Observe, tableau: ButcherTableau, step: Step, h: float | Tensor) -> None:
    observe(step.times, step.states, [weight * h for weight in tableau.b])


def _freeze_non_finite(
    f: VectorField, z: Tensor, times: Sequence[float], tableau: ButcherTableau, steps: int, run: Run
) -> tuple[list[Tensor], Tensor, Tensor]:
    """The same steps, but a sample that becomes non-finite stops at its last finite state.

    A stopped sample goes on from 0, cut from the graph, with steps of 0: so its own non-finite derivatives do not meet
    the others' in a shared parameter's gradient.

    Returns:
        States at ``times``, which samples are finite at the end ``(..., 1)``, and their steps ``(..., 1)``.
    """
    alive, taken, frozen, path = torch.isfinite(z).all(-1, keepdim=True), torch.zeros_like(z[..., :1]), z, [z]
    z = torch.where(alive, z, 0.0)
    for t, h, is_output in _grid(times, steps):
        new = run(explicit_step, f, tableau, t, z, h * alive.to(z.dtype)).z
        failed = alive & ~torch.isfinite(new).all(-1, keepdim=True)
        if bool(failed.any()):
            frozen, alive = torch.where(failed, z, frozen), alive & ~failed
            new = run(explicit_step, f, tableau, t, torch.where(alive, z, 0.0), h * alive.to(z.dtype)).z
        z = torch.where(alive, new, 0.0)
        taken += alive
        if is_output:
            path.append(torch.where(alive, z, frozen))
    return path, alive, taken


def _integrate(
    f: VectorField,
    z0: Tensor,
    times: Sequence[float],
    tableau: ButcherTableau,
    steps: int,
    run: Run | None,
    observe: Observe | None,
) -> tuple[list[Tensor], SolveRecord]:
    run = run or _call
    z, path, total, stages = z0, [z0], steps * (len(times) - 1), len(tableau.b)
    for t, h, is_output in _grid(times, steps):
        step = run(explicit_step, f, tableau, t, z, h)
        z = step.z
        if observe is not None:
            _show(observe, tableau, step, h)
        if is_output:
            path.append(z)
    # A finite sum has finite terms: one cheap look, and the careful solve only where something is wrong. Under vmap a
    # value cannot decide what is computed.
    if under_vmap() or math.isfinite(z.detach().sum().item()):
        return path, SolveRecord.explicit(z, nfe=total * stages, steps=total)
    if observe is not None:
        return path, SolveRecord.explicit(z, nfe=total * stages, steps=total)
    path, alive, taken = _freeze_non_finite(f, z0, times, tableau, steps, run)
    record = SolveRecord.explicit(path[-1], nfe=total * stages, steps=total)
    alive, taken = alive.squeeze(-1), taken.squeeze(-1).to(torch.int32)
    status = torch.where(alive, SolveStatus.CONVERGED.code, SolveStatus.DIVERGED.code).to(torch.int8)
    nfe = torch.where(alive, taken, taken + 1) * stages
    return path, SolveRecord(
        status, taken, nfe, record.residual, SolveRecord(status, taken, taken * stages, record.residual)
    )


@dataclass(frozen=True)
class Euler(ODESolver):
    """The explicit Euler method, of first order.

    Attributes:
        steps: number of equal steps between two times.

    Reference: Hairer, Norsett and Wanner (1993), Solving ODEs I, section II.1.
    """

    steps: int = 40

    def __post_init__(self) -> None:
        _check_steps(self.steps)

    def integrate(
        self,
        f: VectorField,
        z: Tensor,
        times: Sequence[float],
        *,
        run: Run | None = None,
        observe: Observe | None = None,
    ) -> tuple[list[Tensor], SolveRecord]:
        """One evaluation a step."""
        return _integrate(f, z, times, EULER, self.steps, run, observe)


@dataclass(frozen=True)
class Midpoint(ODESolver):
    """The explicit midpoint method, of second order.

    Attributes:
        steps: number of equal steps between two times.

    Reference: Hairer, Norsett and Wanner (1993), Solving ODEs I, section II.1.
    """

    steps: int = 20

    def __post_init__(self) -> None:
        _check_steps(self.steps)

    def integrate(
        self,
        f: VectorField,
        z: Tensor,
        times: Sequence[float],
        *,
        run: Run | None = None,
        observe: Observe | None = None,
    ) -> tuple[list[Tensor], SolveRecord]:
        """Two evaluations a step."""
        return _integrate(f, z, times, MIDPOINT, self.steps, run, observe)


@dataclass(frozen=True)
class RungeKutta4(ODESolver):
    """The classical fourth-order method.

    Attributes:
        steps: number of equal steps between two times.

    Reference: Hairer, Norsett and Wanner (1993), Solving ODEs I, table 1.2.
    """

    steps: int = 10

    def __post_init__(self) -> None:
        _check_steps(self.steps)

    def integrate(
        self,
        f: VectorField,
        z: Tensor,
        times: Sequence[float],
        *,
        run: Run | None = None,
        observe: Observe | None = None,
    ) -> tuple[list[Tensor], SolveRecord]:
        """Four evaluations a step."""
        return _integrate(f, z, times, RK4, self.steps, run, observe)
