"""ODE solvers against analytic solutions and finite differences."""

import math

import pytest
import torch

from metabench.errors import ArgumentError
from metabench.layers import ODESolver, RungeKutta4, TorchDiffEq, ode_solve

SOLVERS = [
    RungeKutta4(steps=20),
    TorchDiffEq("dopri5", rtol=1e-9, atol=1e-10),
    TorchDiffEq("bosh3", rtol=1e-7, atol=1e-8),
]


@pytest.mark.parametrize("solver", SOLVERS)
def test_rotation_has_the_analytic_solution(solver: ODESolver) -> None:
    generator = torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    z0 = torch.tensor([[1.0, 0.0], [0.0, 2.0]], dtype=torch.float64)
    solution = ode_solve(lambda t, z: z @ generator, z0, t1=1.5, solver=solver)
    angle = torch.tensor([[math.cos(1.5), math.sin(1.5)], [-math.sin(1.5), math.cos(1.5)]], dtype=torch.float64)
    torch.testing.assert_close(solution.value, z0 @ angle, rtol=1e-5, atol=1e-5)
    assert bool(solution.record.converged.all())


def test_rk4_is_of_fourth_order() -> None:
    steps = torch.tensor([4.0, 8.0, 16.0, 32.0])
    errors = []
    for n in steps:
        z0 = torch.full((1, 1), 0.1, dtype=torch.float64)
        z = ode_solve(lambda t, z: z * (1 - z), z0, t1=4.0, solver=RungeKutta4(int(n))).value
        errors.append(abs(z.item() - 1 / (1 + 9 * math.exp(-4.0))))  # the logistic curve
    x, y = steps.log(), torch.tensor(errors).log()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / ((x - x.mean()) ** 2).sum()
    assert slope == pytest.approx(-4.0, abs=0.2)


@pytest.mark.parametrize("solver", [RungeKutta4(steps=3), TorchDiffEq("rk4"), TorchDiffEq("dopri5", rtol=1e-10)])
def test_gradcheck(solver: ODESolver) -> None:
    W = (0.5 * torch.randn(3, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(0))).requires_grad_()
    z0 = torch.randn(2, 3, dtype=torch.float64, generator=torch.Generator().manual_seed(1)).requires_grad_()
    assert torch.autograd.gradcheck(
        lambda W, z: ode_solve(lambda t, y: torch.tanh(y @ W.mT), z, solver=solver).value, (W, z0), atol=1e-5
    )


def test_evaluations_are_counted() -> None:
    calls = 0

    def field(t: float | torch.Tensor, z: torch.Tensor) -> torch.Tensor:
        nonlocal calls
        calls += 1
        return -z

    for solver in (RungeKutta4(steps=3), TorchDiffEq("dopri5")):
        calls = 0
        record = ode_solve(field, torch.ones(4, 2), solver=solver).record
        assert record.nfe.tolist() == [calls] * 4


def test_bad_input() -> None:
    with pytest.raises(ArgumentError, match="two different times"):
        ode_solve(lambda t, z: z, torch.zeros(1, 1), t1=0.0)
    with pytest.raises(ArgumentError, match=r"f returned \(1, 2\)"):
        ode_solve(lambda t, z: torch.zeros(1, 2), torch.zeros(1, 1))
    with pytest.raises(ArgumentError, match="Did you mean 'bosh3'"):
        TorchDiffEq("bosh")
    with pytest.raises(ArgumentError, match="steps"):
        RungeKutta4(0)
