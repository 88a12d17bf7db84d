"""The ODE layer: defaults, policies, records, precision, and the peers' methods beside ours."""

from __future__ import annotations

import math
import warnings
from typing import Any

import pytest
import torch
from torch import Tensor

import metabench.layers.record as record_module
from metabench.errors import ArgumentError, DifferentiationError, SolverError
from metabench.layers import RungeKutta4, Solution, SolveStatus, TorchDiffEq, ode_solve
from metabench.layers.ode import (
    Bosh3,
    Checkpointed,
    ContinuousAdjoint,
    Dopri5,
    Euler,
    Midpoint,
    Tsit5,
    all_adjoints,
    all_solvers,
)
from metabench.layers.ode.step import explicit_step
from metabench.layers.ode.tableau import ButcherTableau, all_tableaus

PER_SAMPLE = [kind for kind in all_solvers if kind is not TorchDiffEq]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def turning(t: float | Tensor, z: Tensor) -> Tensor:
    return (1 + t) * torch.stack([-z[..., 1], z[..., 0]], dim=-1)


def blow_up(policy: Any) -> Solution:
    """dz/dt = z^2 from 0.5 and from 2, which is infinite at t = 0.5."""
    z0 = torch.tensor([[0.5], [2.0]], dtype=torch.float64)
    return ode_solve(lambda t, z: z.square(), z0, solver=Dopri5(max_steps=200), policy=policy)


@pytest.mark.parametrize("tableau", all_tableaus, ids=lambda tableau: tableau.name)
def test_convergence_order_of_every_method(tableau: ButcherTableau) -> None:
    # The slope of log error against log step, on a rotation of speed 1 + t: the angle at t = 1 is 1.5.
    exact, logs = torch.tensor([[math.cos(1.5), math.sin(1.5)]], dtype=torch.float64), []
    for steps in (16, 32, 64, 128):
        z, h = torch.tensor([[1.0, 0.0]], dtype=torch.float64), 1.0 / steps
        for i in range(steps):
            z = explicit_step(turning, tableau, i * h, z, h).z
        logs.append((math.log(h), math.log((z - exact).norm())))
    x, y = torch.tensor(logs, dtype=torch.float64).unbind(-1)
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    assert slope.item() == pytest.approx(tableau.order, abs=0.25)


@pytest.mark.parametrize("kind", all_solvers)
def test_a_field_may_depend_on_time(kind: Any) -> None:
    # z' = z cos t: z = z0 exp(sin t - sin t0).
    z0 = normal(3, 2)
    solver = kind(steps=4000) if kind is Euler else kind()
    value = ode_solve(lambda t, z: z * torch.cos(torch.as_tensor(t)), z0, t0=0.5, t1=2.0, solver=solver).value
    exact = z0 * math.exp(math.sin(2.0) - math.sin(0.5))
    torch.testing.assert_close(value, exact, rtol=2e-3, atol=2e-3)


@pytest.mark.parametrize("kind", all_solvers)
def test_there_and_back(kind: Any) -> None:
    z0 = normal(3, 2)
    solver = kind(steps=2000) if kind is Euler else kind()

    def field(t: Any, z: Tensor) -> Tensor:
        return torch.sin(z.flip(-1)) + t

    there = ode_solve(field, z0, t0=0.0, t1=1.0, solver=solver)
    back = ode_solve(field, there.value, t0=1.0, t1=0.0, solver=solver)
    torch.testing.assert_close(back.value, z0, rtol=2e-3, atol=2e-3)
    assert float((there.value - z0).abs().max()) > 0.1


@pytest.mark.parametrize("kind", all_solvers)
def test_a_batch_of_one_and_no_batch(kind: Any) -> None:
    z0, solver = normal(1, 2), kind()
    one = ode_solve(lambda t, z: torch.sin(z), z0, solver=solver)
    bare = ode_solve(lambda t, z: torch.sin(z), z0[0], solver=solver)
    assert one.record.nfe.shape == (1,)
    assert bare.record.nfe.shape == ()
    torch.testing.assert_close(one.value[0], bare.value, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("kind", all_solvers)
def test_dtypes_are_kept(kind: Any) -> None:
    for dtype in (torch.float32, torch.float64):
        solution = ode_solve(lambda t, z: -z, torch.ones(2, 3, dtype=dtype), times=[0.0, 0.5, 1.0], solver=kind())
        assert solution.value.dtype == dtype
        assert solution.value.shape == (3, 2, 3)
        torch.testing.assert_close(solution.value[-1], torch.full((2, 3), math.exp(-1), dtype=dtype), rtol=2e-2, atol=0)


@pytest.mark.parametrize("kind", PER_SAMPLE)
def test_a_nan_sample_leaves_the_others_at_full_precision(kind: Any) -> None:
    # Steps of 1/7 and the like are not exact in float32: a solve that fell back to it would show at 1e-9.
    z0 = normal(3, 2)
    z0[1] = math.nan
    solver = kind(steps=7) if kind in (Euler, Midpoint, RungeKutta4) else kind()
    with_nan = ode_solve(lambda t, z: torch.sin(z), z0, solver=solver, policy="keep")
    without = ode_solve(lambda t, z: torch.sin(z), z0[[0, 2]], solver=solver)
    torch.testing.assert_close(with_nan.value[[0, 2]], without.value, rtol=1e-14, atol=1e-14)
    assert with_nan.record.status[1] == SolveStatus.DIVERGED.code


@pytest.mark.parametrize("kind", PER_SAMPLE)
@pytest.mark.parametrize("adjoint", all_adjoints)
def test_a_nan_sample_does_not_spoil_shared_weights(kind: Any, adjoint: Any) -> None:
    weight = (0.5 * normal(2, 2, seed=1)).requires_grad_()
    z0 = normal(3, 2)
    z0[1] = math.nan

    def gradient(z0: Tensor, rows: list[int]) -> Tensor:
        solution = ode_solve(
            lambda t, z: torch.tanh(z @ weight.mT), z0, solver=kind(), adjoint=adjoint(), policy="keep"
        )
        return torch.autograd.grad(solution.value[rows].sum(), weight)[0]

    torch.testing.assert_close(gradient(z0, [0, 2]), gradient(z0[[0, 2]], [0, 1]), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", [Dopri5, Tsit5, Bosh3])
def test_stiffness_costs_only_the_stiff_sample(kind: Any) -> None:
    rate = torch.tensor([[1.0], [10.0], [1000.0]], dtype=torch.float64)
    z0 = torch.ones(3, 1, dtype=torch.float64)

    def solve(rows: slice) -> Solution:
        return ode_solve(lambda t, z: -rate[rows] * (z - torch.cos(t)), z0[rows], solver=kind(max_steps=5000))

    record = solve(slice(None)).record
    assert record.steps.tolist() == sorted(record.steps.tolist())
    assert int(record.steps[2]) > 10 * int(record.steps[0])
    assert int(solve(slice(0, 1)).record.steps[0]) == int(record.steps[0])
    # The slow solution of z' = -r (z - cos t) is (r^2 cos t + r sin t) / (r^2 + 1), once e^(-rt) has gone.
    value, r = solve(slice(2, 3)).value.item(), 1000.0
    assert value == pytest.approx((r**2 * math.cos(1) + r * math.sin(1)) / (r**2 + 1), abs=1e-3)


def test_policy_raise() -> None:
    with pytest.raises(SolverError, match="ODE: 1 of 2 samples"):
        blow_up("raise")


def test_policy_nan_marks_only_what_failed() -> None:
    value = blow_up("nan").value
    assert torch.isnan(value[:, 0]).tolist() == [False, True]
    assert value[0].item() == pytest.approx(1.0, rel=1e-3)


def test_policy_warn_speaks_once_and_keep_never(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(record_module, "_warned", set())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        kept = blow_up("keep")
    with pytest.warns(RuntimeWarning, match="ODE: 1 of 2"):
        blow_up("warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        torch.testing.assert_close(blow_up("warn").value, kept.value)
    assert bool(torch.isfinite(kept.value).all())


def test_evaluations_are_counted() -> None:
    calls = 0

    def field(t: float | Tensor, z: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return -z

    for kind in all_solvers:
        calls = 0
        record = ode_solve(field, torch.ones(4, 2), solver=kind()).record
        assert record.nfe.tolist() == [calls] * 4
    calls = 0
    assert ode_solve(field, torch.ones(1, 1)).record.nfe.tolist() == [calls] == [40]  # rk4 with 10 steps


def test_the_initial_state_is_not_written_to() -> None:
    for kind in all_solvers:
        z0 = normal(3, 2)
        copy = z0.clone()
        value = ode_solve(lambda t, z: torch.sin(z), z0, times=[0.0, 1.0], solver=kind()).value
        assert torch.equal(z0, copy)
        assert torch.equal(value[0], z0)


@pytest.mark.parametrize(
    "solver", [TorchDiffEq("dopri5", 1e-9, 1e-9), TorchDiffEq("rk4"), TorchDiffEq("midpoint"), TorchDiffEq("euler")]
)
def test_gradcheck_through_torchdiffeq(solver: TorchDiffEq) -> None:
    W, z0 = (0.5 * normal(3, 3)).requires_grad_(), normal(2, 3, seed=1).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda W, z: ode_solve(lambda t, y: torch.tanh(y @ W.mT), z, solver=solver).value, (W, z0), atol=1e-5
    )


def test_bad_input() -> None:
    with pytest.raises(ArgumentError, match="floating point"):
        ode_solve(lambda t, z: z, torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ArgumentError, match="floating point"):
        ode_solve(lambda t, z: z, torch.tensor(1.0))
    with pytest.raises(ArgumentError, match="Did you mean 'bosh3'"):
        TorchDiffEq("bosh")
    with pytest.raises(ArgumentError, match="unknown policy 'ignore'"):
        blow_up("ignore")


@pytest.mark.parametrize("adjoint", [Checkpointed(), ContinuousAdjoint()])
@pytest.mark.parametrize("solver", [RungeKutta4(steps=4), Dopri5()])
def test_a_field_that_has_changed_before_backward_is_refused(adjoint: Any, solver: Any) -> None:
    cell = torch.nn.Linear(2, 2, dtype=torch.float64)

    class Layer(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.cell = cell

        def forward(self, z0: Tensor) -> Tensor:
            return ode_solve(lambda t, z: torch.tanh(self.cell(z)), z0, solver=solver, adjoint=adjoint).value

    z0 = torch.ones(3, 2, dtype=torch.float64)
    other = {f"cell.{name}": (2 * p.detach()).requires_grad_() for name, p in cell.named_parameters()}
    value = torch.func.functional_call(Layer(), other, (z0,))
    with pytest.raises(DifferentiationError, match="other values in the backward pass"):
        value.sum().backward()
    Layer()(z0).sum().backward()
