"""Every ODE solver: analytic solutions, orders, output times, one sample apart from the others, bad input."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torchdiffeq import odeint
from torchdiffeq._impl.odeint import SOLVERS

from metabench.errors import ArgumentError, DifferentiationError, SolverError
from metabench.layers.ode import (
    Bosh3,
    Dopri5,
    Euler,
    Midpoint,
    ODESolver,
    RungeKutta4,
    TorchDiffEq,
    Tsit5,
    all_solvers,
    ode_solve,
)
from metabench.layers.record import SolveStatus

ADAPTIVE = (Dopri5, Tsit5, Bosh3)
ORDERS = {Euler: 1, Midpoint: 2, RungeKutta4: 4}
A = torch.tensor([[-0.5, 2.0], [-2.0, -0.1]], dtype=torch.float64)


def accurate(kind: type[ODESolver]) -> ODESolver:
    made: Any = kind
    if kind in ORDERS:
        return made(steps={1: 20000, 2: 1500, 4: 200}[ORDERS[kind]])
    return made(rtol=1e-9, atol=1e-10)


def linear(t: Any, z: torch.Tensor) -> torch.Tensor:
    return z @ A.mT


@pytest.mark.parametrize("end", [1.2, -0.8])
@pytest.mark.parametrize("kind", all_solvers)
def test_matrix_exponential_at_every_time_forward_and_backward(kind: type[ODESolver], end: float) -> None:
    z0 = torch.tensor([[1.0, 0.0], [-0.3, 2.0]], dtype=torch.float64)
    times = [0.0, 0.31 * end, 0.32 * end, end]
    steps = accurate(kind)
    steps = replace(steps, steps=max(steps.steps // 4, 1)) if isinstance(steps, Euler) else steps
    solution = ode_solve(linear, z0, times=times, solver=steps)
    exact = torch.stack([z0 @ torch.linalg.matrix_exp(t * A).mT for t in times])
    tolerance = 2e-3 if kind is Euler else 1e-6
    torch.testing.assert_close(solution.value, exact, rtol=tolerance, atol=tolerance)
    assert bool(solution.record.converged.all())


@pytest.mark.parametrize("kind", ORDERS)
def test_convergence_order_on_a_fixed_grid(kind: Any) -> None:
    counts = torch.tensor([8.0, 16.0, 32.0, 64.0], dtype=torch.float64)
    errors = []
    for steps in counts:
        z0 = torch.full((1, 1), 0.1, dtype=torch.float64)
        z = ode_solve(lambda t, z: z * (1 - z), z0, t1=4.0, solver=kind(int(steps))).value
        errors.append(abs(z.item() - 1 / (1 + 9 * math.exp(-4.0))))  # the logistic curve
    x, y = counts.log(), torch.tensor(errors, dtype=torch.float64).log()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert slope.item() == pytest.approx(-ORDERS[kind], abs=0.2)


@pytest.mark.parametrize("kind", ADAPTIVE)
def test_error_and_steps_follow_the_tolerance(kind: Any) -> None:
    z0 = torch.ones(1, 1, dtype=torch.float64)
    steps = []
    for rtol in (1e-4, 1e-6, 1e-8):
        solution = ode_solve(lambda t, z: z * torch.cos(t), z0, t1=6.0, solver=kind(rtol=rtol, atol=rtol))
        assert abs(solution.value.item() - math.exp(math.sin(6.0))) < 30 * rtol
        steps.append(int(solution.record.steps))
    order = {Dopri5: 5, Tsit5: 5, Bosh3: 3}[kind]
    # Steps grow as rtol^(-1/order).
    assert math.log(steps[2] / steps[0]) / math.log(1e4) == pytest.approx(1 / order, abs=0.06)


@pytest.mark.parametrize("kind", ADAPTIVE)
def test_dense_output_is_as_good_as_the_steps(kind: Any) -> None:
    z0 = torch.tensor([[1.0, 0.5], [0.1, -2.0]], dtype=torch.float64)
    times = torch.linspace(0.0, 2.0, 41, dtype=torch.float64)
    value = ode_solve(linear, z0, times=times, solver=kind(rtol=1e-6, atol=1e-8)).value
    exact = torch.stack([z0 @ torch.linalg.matrix_exp(t * A).mT for t in times])
    assert (value - exact).abs().max() < 2e-5


@pytest.mark.parametrize("kind", ADAPTIVE)
def test_alone_and_in_a_batch_are_the_same(kind: Any) -> None:
    z0 = torch.randn(5, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    rate = torch.tensor([[1.0], [30.0], [3.0], [0.1], [100.0]], dtype=torch.float64)

    def solve(rows: slice) -> Any:
        return ode_solve(
            lambda t, z: -rate[rows] * (z - torch.sin(3 * t)), z0[rows], times=[0.0, 0.3, 1.0], solver=kind()
        )

    together = solve(slice(None))
    assert len(set(together.record.steps.tolist())) > 2
    for i in range(5):
        alone = solve(slice(i, i + 1))
        torch.testing.assert_close(alone.value[:, 0], together.value[:, i], rtol=1e-12, atol=1e-13)
        for name in ("steps", "nfe", "status"):
            assert getattr(alone.record, name)[0] == getattr(together.record, name)[i]


def test_agrees_with_torchdiffeq() -> None:
    W = torch.randn(4, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    z0 = torch.randn(3, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    times = torch.tensor([0.0, 0.4, 1.5], dtype=torch.float64)

    def field(t: Any, z: torch.Tensor) -> torch.Tensor:
        return torch.tanh(z @ W + t)

    peer: Any = odeint(field, z0, times, rtol=1e-11, atol=1e-12)
    for kind in (Dopri5, Tsit5):
        value = ode_solve(field, z0, times=times, solver=kind(rtol=1e-10, atol=1e-11)).value
        torch.testing.assert_close(value, peer, rtol=1e-8, atol=1e-9)


@pytest.mark.parametrize("method", SOLVERS)
def test_every_torchdiffeq_method(method: str) -> None:
    z0 = torch.tensor([[1.0, 0.0]], dtype=torch.float64)
    # torchdiffeq 0.2.5's explicit_adams gets worse on finer grids: wrong by 4e-3 at 6 times, 1e6 at 101.
    times = torch.linspace(0.0, 1.0, 6 if method == "explicit_adams" else 101).tolist()
    with torch.no_grad():
        solution = ode_solve(linear, z0, times=times, solver=TorchDiffEq(method, rtol=1e-6, atol=1e-8))
    tolerance = {"euler": 3e-2, "explicit_adams": 1e-2}.get(method, 1e-3)
    torch.testing.assert_close(solution.value[-1], z0 @ torch.linalg.matrix_exp(A).mT, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("kind", ADAPTIVE)
def test_blow_up_stops_one_sample(kind: Any) -> None:
    # dz/dt = z^2 has z = z0 / (1 - z0 t): infinite at t = 0.5 for z0 = 2.
    z0 = torch.tensor([[0.5], [2.0], [-1.0]], dtype=torch.float64, requires_grad=True)
    scale = torch.ones((), dtype=torch.float64, requires_grad=True)
    solver = kind(rtol=1e-5, atol=1e-7, max_steps=1000)
    solution = ode_solve(lambda t, z: scale * z**2, z0, solver=solver, policy="keep")
    assert solution.record.converged.tolist() == [True, False, True]
    assert bool(torch.isfinite(solution.value).all())
    torch.testing.assert_close(
        solution.value[[0, 2], 0], torch.tensor([1.0, -0.5], dtype=torch.float64), rtol=1e-4, atol=1e-4
    )
    (gradient,) = torch.autograd.grad(solution.value[[0, 2]].sum(), scale)
    assert gradient.item() == pytest.approx(1.0**2 + 0.5**2, rel=1e-3)  # d/ds z0/(1 - s z0) = z(1)^2


@pytest.mark.parametrize("kind", [k for k in all_solvers if k is not TorchDiffEq])
def test_a_nan_sample_harms_nobody(kind: type[ODESolver]) -> None:
    z0 = torch.tensor([[1.0, 0.0], [math.nan, 0.0], [0.5, 0.5]], dtype=torch.float64)
    weight = A.clone().requires_grad_()
    solver = accurate(kind)
    solver = type(solver)(steps=50) if kind in ORDERS else solver  # pyright: ignore[reportCallIssue]
    solution = ode_solve(lambda t, z: z @ weight.mT, z0, solver=solver, policy="keep")
    assert solution.record.counts()[SolveStatus.DIVERGED] == 1
    sound = ode_solve(lambda t, z: z @ weight.mT, z0[[0, 2]], solver=solver)
    torch.testing.assert_close(solution.value[[0, 2]], sound.value)
    expected = torch.autograd.grad(sound.value.sum(), weight)
    torch.testing.assert_close(torch.autograd.grad(solution.value[[0, 2]].sum(), weight), expected)


def test_fixed_grid_overflow_keeps_the_last_finite_state() -> None:
    z0 = torch.tensor([[10.0], [0.5]], dtype=torch.float64, requires_grad=True)
    solution = ode_solve(lambda t, z: z**3, z0, solver=Euler(steps=12), policy="keep")
    expected, steps = 10.0, 0
    while math.isfinite(expected * expected * expected):
        expected, steps = expected + expected * expected * expected / 12, steps + 1
    assert solution.value[0, 0].item() == pytest.approx(expected, rel=1e-4)  # each cube triples the rounding
    assert solution.record.steps.tolist() == [steps, 12]
    assert bool(torch.isfinite(torch.autograd.grad(solution.value[1].sum(), z0)[0]).all())


def test_slopes_that_are_not_finite_in_mid_flight_shrink_the_step() -> None:
    # sqrt(z) is NaN for z < 0; dz/dt = -sqrt(z) reaches 0 at t = 2 and must not be lost on the way there.
    z0 = torch.tensor([[1.0], [4.0]], dtype=torch.float64)
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    solution = ode_solve(
        lambda t, z: -weight * z.sqrt(), z0, t1=1.9, solver=Dopri5(rtol=1e-7, first_step=1.5), policy="raise"
    )
    exact = (z0.sqrt() - 0.95) ** 2
    torch.testing.assert_close(solution.value, exact, rtol=1e-4, atol=1e-6)
    assert bool(torch.isfinite(torch.autograd.grad(solution.value.sum(), weight)[0]))


def test_a_stiff_sample_runs_out_of_steps_alone() -> None:
    rate = torch.tensor([[1.0], [1e3]], dtype=torch.float64)
    z0 = torch.ones(2, 1, dtype=torch.float64)
    solver = Dopri5(max_steps=40)
    solution = ode_solve(lambda t, z: -rate * z, z0, solver=solver, policy="keep")
    assert solution.record.status.tolist() == [SolveStatus.CONVERGED.code, SolveStatus.MAX_STEPS.code]
    assert solution.value[0, 0].item() == pytest.approx(math.exp(-1.0), rel=1e-3)
    with pytest.raises(SolverError, match="step limit"):
        ode_solve(lambda t, z: -rate * z, z0, solver=solver, policy="raise")


@pytest.mark.parametrize("kind", all_solvers)
def test_empty_batch_and_extra_axes(kind: Any) -> None:
    solver = kind()
    assert ode_solve(linear, torch.zeros(0, 2, dtype=torch.float64), solver=solver).value.shape == (0, 2)
    z0 = torch.randn(2, 3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    solution = ode_solve(linear, z0, solver=solver)
    assert solution.record.nfe.shape == (2, 3)
    torch.testing.assert_close(solution.value, z0 @ torch.linalg.matrix_exp(A).mT, rtol=0.1, atol=0.1)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"t1": 0.0}, "two different times"),
        ({"times": [0.0]}, "at least two"),
        ({"times": [0.0, 1.0, 0.5]}, "not strictly"),
        ({"times": [0.0, 1.0, 1.0]}, "not strictly"),
        ({"times": [0.0, 1.0], "t1": 2.0}, "one or the other"),
        ({"times": torch.zeros(2, 2)}, "one axis"),
        ({"t1": math.inf}, "finite"),
        ({"t1": torch.tensor(2.0, requires_grad=True)}, "requires a gradient"),
        ({"times": torch.tensor([0.0, 2.0], requires_grad=True)}, "requires a gradient"),
    ],
)
def test_bad_times(arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        ode_solve(linear, torch.zeros(1, 2, dtype=torch.float64), **arguments)


@pytest.mark.parametrize("kind", all_solvers)
def test_bad_fields(kind: Any) -> None:
    with pytest.raises(ArgumentError, match=r"f returned \(1, 3\)"):
        ode_solve(lambda t, z: torch.zeros(1, 3), torch.zeros(1, 1), solver=kind())
    with pytest.raises(ArgumentError, match="float64"):
        ode_solve(lambda t, z: z.double(), torch.zeros(1, 1), solver=kind())


def test_bad_settings() -> None:
    for kind in ORDERS:
        with pytest.raises(ArgumentError, match="steps=0"):
            kind(steps=0)
    for kind in ADAPTIVE:
        with pytest.raises(ArgumentError, match="max_steps=0"):
            kind(max_steps=0)
        with pytest.raises(ArgumentError, match="rtol"):
            kind(rtol=-1.0)
        with pytest.raises(ArgumentError, match="first_step"):
            kind(first_step=0.0)
    with pytest.raises(DifferentiationError, match="no gradient"):
        ode_solve(linear, torch.ones(1, 2, dtype=torch.float64, requires_grad=True), solver=TorchDiffEq("scipy_solver"))
