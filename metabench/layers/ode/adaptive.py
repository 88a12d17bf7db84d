"""Adaptive Runge-Kutta integration in which every sample has its own time and step size."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metabench.errors import DifferentiationError
from metabench.layers.ode.controller import StepSizeController, initial_step
from metabench.layers.ode.dense_output import DenseOutput
from metabench.layers.ode.solver import Observe, Run, VectorField
from metabench.layers.ode.step import Step, explicit_step
from metabench.layers.ode.tableau import ButcherTableau
from metabench.layers.record import SolveRecord, SolveStatus
from metabench.layers.stopping import Tolerance, root_mean_square
from metabench.layers.transforms import under_vmap

__all__ = ["RESOLUTION", "integrate_adaptively"]

RESOLUTION = 16.0  # multiples of the dtype's resolution of time below which a step is lost in rounding


def _size(value: Tensor) -> Tensor:
    return root_mean_square(value).unsqueeze(-1)


@torch.no_grad()
def _error(tableau: ButcherTableau, step: Step) -> Tensor:
    """Root-mean-square of the local error estimate, ``(..., 1)``."""
    error = step.slopes[0].detach() * tableau.error[0]
    for slope, weight in zip(step.slopes[1:], tableau.error[1:], strict=True):
        if weight:
            error.add_(slope.detach(), alpha=weight)
    return _size(error)


def _start(f: VectorField, t: Tensor, z: Tensor) -> tuple[Tensor, Tensor, Tensor | None]:
    """Sets aside the samples whose state or first slope is not finite: they go on from 0, cut from the graph.

    Returns:
        The state and slope, and which samples can start ``(..., 1)``; None is all.
    """
    slope = f(t, z)
    with torch.no_grad():
        sound = (torch.isfinite(z) & torch.isfinite(slope)).all(-1, keepdim=True)
    if bool(sound.all()):
        return z, slope, None
    z = torch.where(sound, z, 0.0)
    return z, f(t, z), sound


def integrate_adaptively(
    f: VectorField,
    z0: Tensor,
    times: Sequence[float],
    *,
    tableau: ButcherTableau,
    tolerance: Tolerance,
    first_step: float | None,
    run: Run | None,
    observe: Observe | None,
) -> tuple[list[Tensor], SolveRecord]:
    """Integrates each sample until it reaches the last time, gives up or has made ``tolerance.max_steps`` attempts.

    A finished sample takes steps of 0, so it stays where it is while the others go on. A sample whose attempt is not
    finite tries again with a smaller step; that attempt is repeated with a step of 0 for it, so that its non-finite
    derivatives stay out of the graph. Step sizes are constants to the gradient.

    Args:
        f: vector field, called with the samples' times ``(..., 1)``.
        z0: state at the first time ``(..., dim)``.
        times: strictly monotone.
        tableau: an FSAL method with an error estimate.
        tolerance: rms(local error) <= atol + rtol * rms(z), by sample.
        first_step: first step size; None chooses it.
        run: runs each step.
        observe: sees the stages of each step.

    Returns:
        States at ``times`` and the record. Where a sample stopped early, its states from there on are its last one.

    Raises:
        DifferentiationError: under ``torch.func.vmap``, which cannot follow steps chosen by the data.
    """
    if under_vmap():
        raise DifferentiationError(
            f"{tableau.name} chooses its steps by the data, which torch.func.vmap cannot follow; leave the samples on "
            "the leading axes of z0, where each has its own steps anyway, or use a fixed-grid solver."
        )
    if z0.numel() == 0:
        return [z0] * len(times), SolveRecord.explicit(z0, nfe=0, steps=0)
    direction, end = (1.0 if times[-1] > times[0] else -1.0), times[-1]
    span = abs(end - times[0])
    # The state of the solve. Time is kept as the time left, which ends at 0 exactly.
    t = torch.full_like(z0[..., :1], times[0], requires_grad=False)
    z, slope, sound = _start(f, t, z0)
    with torch.no_grad():
        if first_step is None:
            h = initial_step(f, t, z, slope, direction, tableau.order, tolerance)
        else:
            h = torch.full_like(t, first_step)
        left = torch.full_like(t, span)
        if sound is not None:
            left = torch.where(sound, left, 0.0)
        active, size, residual = left > 0, _size(z), torch.zeros_like(t)
        underflow = RESOLUTION * torch.finfo(z.dtype).eps * max(abs(times[0]), abs(end))
        accepted = torch.zeros_like(t, dtype=torch.int32)
        attempts, gave_up = torch.zeros_like(accepted), ~active
        controller = StepSizeController.start(h, tableau.order)
    dense = DenseOutput(tableau, z, times)

    def attempt(signed: Tensor) -> tuple[Step, Tensor, Tensor]:
        arguments = (f, tableau, t, z, signed, slope)
        step = explicit_step(*arguments) if run is None else run(explicit_step, *arguments)
        with torch.no_grad():
            new_size = _size(step.z)
            ratio = _error(tableau, step) / tolerance.threshold(torch.maximum(size, new_size))
        return step, new_size, ratio

    for _ in range(tolerance.max_steps if bool(active.any()) else 0):
        with torch.no_grad():
            taken = torch.minimum(h, left)
            signed = taken if direction > 0 else -taken
        step, new_size, ratio = attempt(signed)
        with torch.no_grad():
            accept = (ratio <= 1) & torch.isfinite(new_size)
            attempts += active
            everyone = bool((accept | gave_up).all())
            if everyone:
                accepted += active
                factor = controller.factor(ratio, None)
                after = left - taken
            else:
                broken = ~(torch.isfinite(ratio) & torch.isfinite(new_size)) & active
                factor = controller.factor(torch.where(broken, torch.nan, ratio), accept)
                after = torch.where(accept, left - taken, left)
                accepted += accept & active
        if everyone:
            dense.add(z, step, left, after, taken)
            if observe is not None:
                observe(step.times, step.states, [weight * signed for weight in tableau.b])
            residual = torch.where(active, ratio, residual)
            z, slope, size = step.z, step.last, new_size
        else:
            if bool(broken.any()):
                with torch.no_grad():
                    signed = torch.where(broken, 0.0, signed)
                step, new_size, _ = attempt(signed)
            dense.add(z, step, left, after, taken)
            if observe is not None:
                kept = torch.where(accept, signed, 0.0)
                observe(step.times, step.states, [weight * kept for weight in tableau.b])
            residual = torch.where(accept & active, ratio, residual)
            z, slope = torch.where(accept, step.z, z), torch.where(accept, step.last, slope)
            size = torch.where(accept, new_size, size)
        with torch.no_grad():
            h, left = taken * factor, after
            if not everyone:
                lost = (h < underflow) & (left > h)
                gave_up, left = gave_up | lost, torch.where(lost, 0.0, left)
            active = left > 0
            t = end - left if direction > 0 else end + left
        if not bool(active.any()):
            break
    last = z if sound is None else torch.where(sound, z, z0)
    path = [z0, *dense.values(last), last]
    with torch.no_grad():
        status = torch.where(active, SolveStatus.MAX_STEPS.code, SolveStatus.CONVERGED.code)
        status = torch.where(gave_up, SolveStatus.DIVERGED.code, status).to(torch.int8).squeeze(-1)
        steps, tries = accepted.squeeze(-1), attempts.squeeze(-1)
        stages = len(tableau.b) - 1
        nfe = tries * stages + (2 if first_step is None else 1)
        relative = (residual * tolerance.threshold(size) / size.clamp_min(torch.finfo(z.dtype).tiny)).squeeze(-1)
        backward = SolveRecord(status, steps, steps * stages, relative)
        return path, SolveRecord(status, steps, nfe, relative, backward)
