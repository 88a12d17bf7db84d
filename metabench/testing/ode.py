"""The kit for ODE solvers."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers import ODESolver, Solution, SolveStatus, ode_solve
from metabench.testing.requirement import (
    directional_error,
    normal,
    require,
    require_close,
    require_record,
    without_global_randomness,
)

__all__ = ["check_ode_solver"]

# A damped rotation, with its closed form exp(t A).
_A = torch.tensor([[-0.5, 2.0], [-2.0, -0.1]], dtype=torch.float64)


def check_ode_solver(
    solver: ODESolver, *, order: int | None = None, accuracy: float = 1e-3, independent: bool = True
) -> None:
    """Checks that a solver integrates forward and backward in time, sample by sample, with the gradient of its steps.

    Linear and time-dependent fields with closed forms, at every requested time; the order of convergence;
    central differences of the gradient; batches of none, one and several axes; dtype; samples that do not see each
    other, one of them NaN or blowing up; evaluations counted; no global randomness.

    Args:
        solver: an instance, set so that it is within ``accuracy`` on an oscillation of one third of a turn.
        order: order of accuracy. The solver must then be a dataclass with a field ``steps``, the number of steps
            between two times; None leaves the check out (adaptive solvers).
        accuracy: largest absolute and relative error of the value.
        independent: whether each sample has steps of its own. False leaves out the checks of that, for a solver that
            shares its steps over the batch as torchdiffeq's adaptive methods do.

    Raises:
        ConformanceError: at the first property that fails.
        ArgumentError: if ``order`` is given for a solver without ``steps``.
    """
    require(isinstance(solver, ODESolver), solver, "interface", "expected an instance of metabench.layers.ODESolver.")
    with without_global_randomness(solver):
        _closed_forms(solver, accuracy)
        if order is not None:
            _order(solver, order)
        _gradient(solver)
        _shapes(solver)
        _counts(solver)
        if independent:
            _independent(solver)
            _stopped_samples(solver)


def _linear(t: float | Tensor, z: Tensor) -> Tensor:
    return z @ _A.to(z.dtype).mT


def _field(t: float | Tensor, z: Tensor) -> Tensor:
    """Non-linear, depending on time; one coordinate drives the next."""
    return torch.sin(z.roll(1, -1)) - 0.5 * z * t


def _solve(solver: ODESolver, z0: Tensor, f: Any = _field, **arguments: Any) -> Solution:
    return ode_solve(f, z0, solver=solver, policy="keep", **arguments)


def _closed_forms(solver: ODESolver, accuracy: float) -> None:
    z0 = normal(3, 2, seed=0)
    for end in (1.0, -0.8):
        times = [0.0, 0.3 * end, 0.35 * end, end]
        solution = _solve(solver, z0, _linear, times=times)
        exact = torch.stack([z0 @ torch.linalg.matrix_exp(t * _A).mT for t in times])
        name = "closed form" if end > 0 else "backward in time"
        message = f"z' = A z at the times {times}"
        require_close(solution.value, exact, solver, name, message, rtol=accuracy, atol=accuracy)
        require(torch.equal(solution.value[0], z0), solver, name, "the first state is not z0.")
        record = require_record(solution.record, (3,), solver)
        require(record.converged.all(), solver, name, "a sample is not reported as converged.")
    again = _solve(solver, z0, _linear, times=times)
    require(torch.equal(again.value, solution.value), solver, "deterministic", "two solves of one problem differ.")
    # z' = z cos t has z = z0 exp(sin t): wrong stage times would show.
    value = _solve(solver, z0, lambda t, z: z * torch.cos(torch.as_tensor(t, dtype=z.dtype)), t0=0.5, t1=1.5).value
    exact = z0 * math.exp(math.sin(1.5) - math.sin(0.5))
    message = "z' = z cos t from 0.5 to 1.5"
    require_close(value, exact, solver, "time-dependent field", message, rtol=accuracy, atol=accuracy)


def _order(solver: Any, order: int) -> None:
    if "steps" not in getattr(solver, "__dataclass_fields__", {}):
        raise ArgumentError(
            f"order={order} was given and {type(solver).__name__} is no dataclass with a field steps; "
            "expected one, or order=None."
        )
    counts, errors = (8, 16, 32, 64), []
    for steps in counts:
        finer: Any = dataclasses.replace(solver, steps=steps)
        z0 = torch.full((1, 1), 0.1, dtype=torch.float64)
        z = _solve(finer, z0, lambda t, z: z * (1 - z), t1=4.0).value
        errors.append(max(abs(z.item() - 1 / (1 + 9 * math.exp(-4.0))), 1e-16))  # the logistic curve
    found = -_slope([math.log(n) for n in counts], [math.log(error) for error in errors])
    require(
        abs(found - order) < 0.25,
        solver,
        "order",
        f"the error falls as steps^-{found:.2f} on the logistic curve; expected order {order}.",
    )


def _slope(x: Sequence[float], y: Sequence[float]) -> float:
    """Slope of the least-squares line."""
    a, b = sum(x) / len(x), sum(y) / len(y)
    return sum((p - a) * (q - b) for p, q in zip(x, y, strict=True)) / sum((p - a) ** 2 for p in x)


def _gradient(solver: ODESolver) -> None:
    weight = (0.5 * normal(3, 3, seed=1)).requires_grad_()
    z0, cotangent = normal(2, 3, seed=2).requires_grad_(), normal(2, 3, seed=3)

    def loss() -> Tensor:
        return (_solve(solver, z0, lambda t, z: torch.tanh(z @ weight.mT + t)).value * cotangent).sum()

    gradients = torch.autograd.grad(loss(), (weight, z0), allow_unused=True)
    for name, leaf, gradient in zip(("the weights", "z0"), (weight, z0), gradients, strict=True):
        if gradient is None:
            require(False, solver, "gradient", f"no gradient to {name}.")
            continue
        error = directional_error(loss, leaf, gradient, step=1e-4, seed=4)
        # Accepted steps are constants to the gradient and move with the perturbation: hence the loose bound.
        require(
            error < 1e-2,
            solver,
            "gradient",
            f"the gradient to {name} has a relative error of {error:.2g} against central differences.",
        )


def _shapes(solver: ODESolver) -> None:
    z0 = normal(6, 3, seed=5)
    value = _solve(solver, z0).value
    copy = z0.clone()
    for samples in ((2, 3), (1, 6)):
        solution = _solve(solver, z0.view(*samples, 3))
        require_record(solution.record, samples, solver)
        message = f"sample axes {samples} against one"
        require_close(solution.value.view(6, 3), value, solver, "sample axes", message, rtol=1e-9, atol=1e-9)
    single = _solve(solver, z0[:1])
    require_record(single.record, (1,), solver)
    require(torch.equal(z0, copy), solver, "tensors handed in", "z0 was written to.")
    half = _solve(solver, z0.float())
    require(half.value.dtype == torch.float32, solver, "dtype", f"float32 came back as {half.value.dtype}.")
    empty = _solve(solver, z0[:0], times=[0.0, 0.5, 1.0])
    require_record(empty.record, (0,), solver)
    require(
        empty.value.shape == (3, 0, 3),
        solver,
        "sample axes",
        f"an empty batch came back as {tuple(empty.value.shape)}.",
    )


def _counts(solver: ODESolver) -> None:
    calls = 0

    def counted(t: float | Tensor, z: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return _field(t, z)

    with torch.no_grad():
        record = _solve(solver, normal(1, 3, seed=6), counted).record
    require(
        int(record.nfe) == calls,
        solver,
        "nfe",
        f"f was called {calls} times and nfe is {int(record.nfe)} for one sample.",
    )


def _independent(solver: ODESolver) -> None:
    z0, rate = normal(4, 3, seed=7), torch.tensor([[0.1], [1.0], [8.0], [25.0]], dtype=torch.float64)

    def solve(at: slice) -> Solution:
        return _solve(solver, z0[at], lambda t, z: -rate[at] * (z.roll(1, -1) + z), t1=0.3)

    together = solve(slice(None))
    for i in range(4):
        at = slice(i, i + 1)
        alone = solve(at)
        name = "independent samples"
        message = f"sample {i} alone and in a batch"
        require_close(alone.value, together.value[at], solver, name, message, rtol=1e-10, atol=1e-10)
        for field in ("status", "steps", "nfe"):
            require(
                torch.equal(getattr(alone.record, field), getattr(together.record, field)[at]),
                solver,
                name,
                f"{field} of {message} differ.",
            )


def _stopped_samples(solver: ODESolver) -> None:
    name = "a sample that stops"
    z0 = torch.tensor([[0.5], [float("nan")], [1e200], [-1.0]], dtype=torch.float64)
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    solution = _solve(solver, z0, lambda t, z: weight * z**3 - z, t1=0.2)
    sound = _solve(solver, z0[[0, 3]], lambda t, z: weight * z**3 - z, t1=0.2)
    message = "the other samples' values, beside one that is NaN and one that overflows"
    require_close(solution.value[[0, 3]], sound.value, solver, name, message, rtol=1e-10, atol=1e-10)
    statuses = solution.record.status[[1, 2]].tolist()
    require(
        SolveStatus.CONVERGED.code not in statuses,
        solver,
        name,
        "a NaN or overflowing sample is reported as converged.",
    )
    (found,) = torch.autograd.grad(solution.value[[0, 3]].sum(), weight)
    (wanted,) = torch.autograd.grad(sound.value.sum(), weight)
    message = "the gradient to a shared weight, from the other samples"
    require_close(found, wanted, solver, name, message, rtol=1e-10, atol=1e-10)
