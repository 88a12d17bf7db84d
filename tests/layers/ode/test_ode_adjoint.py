"""Ways back through an ODE solve, against finite differences and each other."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from metabench.errors import ArgumentError, DifferentiationError
from metabench.layers.ode import (
    Backprop,
    Bosh3,
    Checkpointed,
    ContinuousAdjoint,
    Dopri5,
    Euler,
    Midpoint,
    RungeKutta4,
    TorchDiffEq,
    Tsit5,
    all_adjoints,
    all_solvers,
    ode_solve,
)

FIXED = (Euler, Midpoint, RungeKutta4)
W = 0.5 * torch.randn(2, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
Z = torch.randn(3, 2, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def _make(kind: Any) -> Any:
    """Fine enough that the gradient of the equation and of the steps agree where both are asked for."""
    if kind is Euler:
        return kind(steps=5)
    if kind is Bosh3:  # of low order: tighter is slow
        return kind(rtol=1e-6, atol=1e-7)
    return kind(steps=10) if kind in FIXED else kind(rtol=1e-9, atol=1e-10)


def _solve(weight: Tensor, z0: Tensor, solver: Any, adjoint: Any, times: Any = (0.0, 0.4, 1.0)) -> Any:
    return ode_solve(lambda t, z: torch.tanh(z @ weight.mT + t), z0, times=times, solver=solver, adjoint=adjoint)


@pytest.mark.parametrize("adjoint", all_adjoints)
@pytest.mark.parametrize("kind", all_solvers)
def test_gradcheck(kind: Any, adjoint: Any) -> None:
    solver, weight, z0 = _make(kind), W.clone().requires_grad_(), Z.clone().requires_grad_()
    if kind is TorchDiffEq and adjoint is not Backprop:
        with pytest.raises(ArgumentError, match="does not show its steps"):
            _solve(weight, z0, solver, adjoint()).value.sum().backward()
        return
    if kind in FIXED and adjoint is ContinuousAdjoint:
        solver = kind(steps={Euler: 1000, Midpoint: 100, RungeKutta4: 20}[kind])
        value = _solve(weight, z0, solver, adjoint()).value
        exact = _solve(weight, z0, solver, Backprop()).value
        cotangent = torch.cos(torch.arange(float(value.numel()), dtype=value.dtype)).view_as(value)
        for got, want in zip(
            torch.autograd.grad(value, (weight, z0), cotangent),
            torch.autograd.grad(exact, (weight, z0), cotangent),
            strict=True,
        ):
            torch.testing.assert_close(got, want, rtol=5e-3, atol=5e-3)
        return
    assert torch.autograd.gradcheck(lambda w, z: _solve(w, z, solver, adjoint()).value, (weight, z0), atol=1e-5)


@pytest.mark.parametrize("kind", [*FIXED, Dopri5, Tsit5])
def test_checkpointed_equals_backprop(kind: Any) -> None:
    gradients = []
    for adjoint in (Backprop(), Checkpointed()):
        weight, z0 = W.clone().requires_grad_(), Z.clone().requires_grad_()
        value = _solve(weight, z0, kind(), adjoint).value
        gradients.append(torch.autograd.grad(value.square().sum(), (weight, z0)))
    torch.testing.assert_close(gradients[0], gradients[1], rtol=1e-13, atol=1e-14)


def test_checkpointed_keeps_less() -> None:
    kept = []
    for adjoint in (Backprop(), Checkpointed()):
        sizes: list[int] = []

        def pack(saved: Tensor, sizes: list[int] = sizes) -> Tensor:
            sizes.append(saved.numel())
            return saved

        weight = W.clone().requires_grad_()
        with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
            _solve(weight, Z, Dopri5(), adjoint, times=(0.0, 1.0))
        kept.append(sum(sizes))
    assert kept[1] < 0.5 * kept[0]


def test_backprop_has_second_derivatives_and_the_others_refuse_them() -> None:
    weight, z0 = W.clone().requires_grad_(), Z.clone().requires_grad_()
    for solver in (RungeKutta4(steps=2), Dopri5(rtol=1e-3)):
        assert torch.autograd.gradgradcheck(
            lambda w, z, solver=solver: _solve(w, z, solver, Backprop(), times=(0.0, 0.5)).value, (weight, z0)
        )
        for adjoint in (Checkpointed(), ContinuousAdjoint()):
            value = _solve(weight, z0, solver, adjoint).value
            with pytest.raises(DifferentiationError, match="second derivative"):
                torch.autograd.grad(value.sum(), weight, create_graph=True)


def test_backward_records() -> None:
    weight, z0 = W.clone().requires_grad_(), Z.clone().requires_grad_()
    record = _solve(weight, z0, RungeKutta4(steps=4), Backprop()).record
    assert record.nfe.tolist() == record.backward.nfe.tolist() == [32] * 3
    record = _solve(weight, z0, Dopri5(), Backprop()).record
    assert (record.backward.nfe == 6 * record.steps).all()
    solution = _solve(weight, z0, Dopri5(), ContinuousAdjoint())
    assert solution.record.backward is None
    solution.value.sum().backward()
    assert solution.record.backward.nfe.shape == (3,)
    assert bool(solution.record.backward.converged.all())


def test_continuous_adjoint_never_loses_a_parameter_silently() -> None:
    weight, z0 = W.clone().requires_grad_(), Z.clone().requires_grad_()
    injection = 2.0 * z0

    def solve(adjoint: Any) -> Tensor:
        return ode_solve(
            lambda t, z: torch.tanh(z @ weight.mT) + injection, z0, solver=Tsit5(1e-8), adjoint=adjoint
        ).value

    with pytest.raises(ArgumentError, match="computed from others"):
        solve(ContinuousAdjoint())
    with pytest.raises(ArgumentError, match="leaves out"):
        solve(ContinuousAdjoint(parameters=(injection,)))
    got = torch.autograd.grad(
        solve(ContinuousAdjoint(parameters=(injection, weight))).sum(), (weight, z0), retain_graph=True
    )
    want = torch.autograd.grad(solve(Backprop()).sum(), (weight, z0))
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-6)


def test_continuous_adjoint_goes_back_from_torchdiffeq_with_another_solver() -> None:
    weight, z0 = W.clone().requires_grad_(), Z.clone().requires_grad_()
    adjoint = ContinuousAdjoint(solver=Dopri5(1e-9, 1e-10))
    got = torch.autograd.grad(_solve(weight, z0, TorchDiffEq("dopri5", 1e-9, 1e-10), adjoint).value.sum(), weight)
    want = torch.autograd.grad(_solve(weight, z0, Dopri5(1e-9, 1e-10), Backprop()).value.sum(), weight)
    torch.testing.assert_close(got, want, rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("kind", [*FIXED, Dopri5])
def test_func_grad(kind: Any) -> None:
    weight = W.clone().requires_grad_()
    want = torch.autograd.grad(_solve(weight, Z, kind(), Backprop()).value.sum(), weight)[0]
    got = torch.func.grad(lambda w: _solve(w, Z, kind(), Backprop()).value.sum())(W)
    torch.testing.assert_close(got, want)


@pytest.mark.parametrize("policy", ["warn", "nan", "keep"])
@pytest.mark.parametrize("kind", FIXED)
def test_func_vmap_over_parameters_on_a_fixed_grid(kind: Any, policy: Any) -> None:
    weights = torch.stack([W, -W])

    def last(weight: Tensor) -> Tensor:
        return ode_solve(lambda t, z: torch.tanh(z @ weight.mT), Z, solver=kind(4), policy=policy).value

    torch.testing.assert_close(torch.func.vmap(last)(weights), torch.stack([last(W), last(-W)]))
    jacobian = torch.func.vmap(torch.func.grad(lambda w: last(w).sum()))(weights)
    torch.testing.assert_close(jacobian[1], torch.func.grad(lambda w: last(w).sum())(-W))


def test_transforms_that_do_not_work_say_so() -> None:
    for solver in (Dopri5(), TorchDiffEq()):
        with pytest.raises(DifferentiationError, match="vmap"):
            torch.func.vmap(lambda z, solver=solver: ode_solve(lambda t, y: -y, z, solver=solver).value)(Z)
    with pytest.raises(ArgumentError, match="policy='raise'"):
        torch.func.vmap(lambda z: ode_solve(lambda t, y: -y, z, policy="raise").value)(Z)
    for adjoint in (Checkpointed(), ContinuousAdjoint()):
        with pytest.raises(DifferentiationError, match=r"torch\.func"):
            torch.func.grad(lambda z, a=adjoint: ode_solve(lambda t, y: -y, z, adjoint=a).value.sum())(Z)
