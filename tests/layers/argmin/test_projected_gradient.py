"""Projected gradient: analytic argmins, the dense quadratic program, SciPy, and exact gradients."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from metabench.errors import ArgumentError, DifferentiationError, SolverError
from metabench.layers.adjoint import ImplicitDense, Unrolled
from metabench.layers.argmin import (
    AffineSet,
    Box,
    CappedSimplex,
    ConvexSet,
    Halfspace,
    L1Ball,
    L2Ball,
    Orthant,
    Simplex,
    box_qp,
    project,
    projected_gradient,
)
from metabench.layers.fixed_point import Picard
from metabench.layers.record import SolveStatus
from metabench.layers.stopping import Tolerance

TIGHT = Tolerance(atol=1e-13, rtol=1e-13, max_steps=5000)
DIRECTION = torch.linspace(1.0, -2.0, 5, dtype=torch.float64)
SETS: list[ConvexSet] = [
    Box(-0.3, 0.5),
    Orthant(),
    Simplex(),
    CappedSimplex(2),
    L1Ball(0.8),
    L2Ball(0.7),
    Halfspace(DIRECTION, -0.5),
    AffineSet(DIRECTION[None], torch.tensor([0.7], dtype=torch.float64)),
]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def softplus_sum(z: Tensor, x: Tensor) -> Tensor:
    """A strongly convex objective that is not quadratic."""
    return torch.nn.functional.softplus(2 * z - x).sum(-1) + 0.3 * (z * z).sum(-1) - (x * z).sum(-1)


@pytest.mark.parametrize("onto", SETS, ids=lambda onto: type(onto).__name__)
def test_the_nearest_point_is_the_projection(onto: ConvexSet) -> None:
    x = normal(6, 5).requires_grad_()
    solution = projected_gradient(
        lambda z, x: ((z - x) ** 2).sum(-1), torch.zeros(6, 5).double(), onto, inputs=[x], stopping=TIGHT
    )
    assert solution.record.converged.all()
    expected = project(x, onto)
    torch.testing.assert_close(solution.value, expected, rtol=0, atol=1e-11)
    weights = normal(6, 5, seed=1)
    gradient, want = (torch.autograd.grad(value, x, weights)[0] for value in (solution.value, expected))
    torch.testing.assert_close(gradient, want, rtol=0, atol=1e-9)


@pytest.mark.parametrize("onto", SETS, ids=lambda onto: type(onto).__name__)
def test_gradcheck(onto: ConvexSet) -> None:
    x, weight = normal(4, 5, seed=2).requires_grad_(), normal(5, 5, seed=3).requires_grad_()

    def solve(x: Tensor, weight: Tensor) -> Tensor:
        return projected_gradient(
            lambda z, x: softplus_sum(z @ weight.mT / 2, x) + 0.2 * (z * z).sum(-1),
            torch.zeros_like(x),
            onto,
            inputs=[x],
            stopping=TIGHT,
            policy="raise",
        ).value

    # The solve is exact to about 1e-12, so differences over 2e-6 are exact to about 1e-6.
    assert torch.autograd.gradcheck(solve, (x, weight), atol=5e-6, rtol=1e-5, fast_mode=True)


def test_agrees_with_scipy() -> None:
    x = normal(5, 4)
    solution = projected_gradient(softplus_sum, torch.zeros_like(x), Simplex(), step=0.5, inputs=[x], stopping=TIGHT)
    for i in range(5):
        given = x[i].numpy()
        answer = minimize(
            lambda z, x=given: np.logaddexp(0, 2 * z - x).sum() + 0.3 * z @ z - x @ z,
            np.full(4, 0.25),
            bounds=[(0, 1)] * 4,
            constraints=[{"type": "eq", "fun": lambda z: z.sum() - 1}],
            method="SLSQP",
            options={"ftol": 1e-15, "maxiter": 500},
        )
        np.testing.assert_allclose(solution.value[i].detach().numpy(), answer.x, atol=2e-6)


@pytest.mark.parametrize("solver", [None, Picard()])
@pytest.mark.parametrize("step", [None, 0.1])
def test_agrees_with_the_quadratic_program(solver: Picard | None, step: float | None) -> None:
    root = normal(6, 4, 4)
    Q, q = (root @ root.mT / 4 + 0.3 * torch.eye(4).double()).requires_grad_(), normal(6, 4, seed=1).requires_grad_()

    def slope(z: Tensor, Q: Tensor, q: Tensor) -> Tensor:
        return (Q.unflatten(-1, (4, 4)) @ z[..., None])[..., 0] + q

    solution = projected_gradient(
        slope,
        torch.zeros(6, 4, dtype=torch.float64),
        Box(-0.5, 0.5),
        is_gradient=True,
        step=step,
        inputs=[Q.flatten(-2), q],
        solver=solver,
        stopping=TIGHT,
    )
    assert solution.record.converged.all()
    expected = box_qp(Q, q, -0.5, 0.5).value
    torch.testing.assert_close(solution.value, expected, rtol=0, atol=1e-10)
    weights = normal(6, 4, seed=2)
    found, want = (torch.autograd.grad(value, (Q, q), weights) for value in (solution.value, expected))
    torch.testing.assert_close(found[1], want[1], rtol=0, atol=1e-8)
    torch.testing.assert_close((found[0] + found[0].mT) / 2, want[0], rtol=0, atol=1e-8)


@pytest.mark.parametrize("adjoint", [ImplicitDense(), Unrolled()])
def test_other_ways_back(adjoint: ImplicitDense | Unrolled) -> None:
    x = normal(3, 5).requires_grad_()

    def gradient(**settings: object) -> Tensor:
        value = projected_gradient(
            softplus_sum, torch.zeros(3, 5).double(), Simplex(), step=0.5, inputs=[x], stopping=TIGHT, **settings
        ).value  # type: ignore[arg-type]
        return torch.autograd.grad((value * normal(3, 5, seed=1)).sum(), x)[0]

    torch.testing.assert_close(gradient(adjoint=adjoint, solver=Picard()), gradient(), rtol=0, atol=1e-9)


@pytest.mark.parametrize("shared", [True, False])
def test_gradient_to_the_tensors_of_the_set(shared: bool) -> None:
    x = normal(20, 5)
    radius = (0.5 + normal(*(() if shared else (20,)), seed=4).abs()).requires_grad_()

    def solve(radius: Tensor) -> Tensor:
        return projected_gradient(
            softplus_sum, torch.zeros_like(x), Simplex(radius), step=0.5, inputs=[x], stopping=TIGHT
        ).value

    assert torch.autograd.gradcheck(solve, (radius,), atol=5e-6, rtol=1e-5, fast_mode=True)


def test_per_sample_steps_and_estimates() -> None:
    # Curvatures from 0.01 to 100: one step for all would be slow in one sample or diverge in another.
    scale = torch.logspace(-2, 2, 40, dtype=torch.float64)[:, None]
    x = normal(40, 3)

    def objective(z: Tensor, x: Tensor, scale: Tensor) -> Tensor:
        return (scale * (z - x) ** 2).sum(-1) / 2

    for step in (None, 1 / scale[:, 0]):
        solution = projected_gradient(
            objective, torch.zeros_like(x), Box(), inputs=[x, scale], step=step, solver=Picard(), stopping=TIGHT
        )
        assert solution.record.converged.all()
        assert int(solution.record.steps.max()) <= 20
        torch.testing.assert_close(solution.value, x.clamp(-1, 1), rtol=0, atol=1e-10)


def test_a_bad_sample_harms_no_other() -> None:
    x = normal(20, 5)
    weight = torch.ones(5, dtype=torch.float64, requires_grad=True)

    def solve(x: Tensor):
        return projected_gradient(
            lambda z, x: softplus_sum(z * weight, x),
            torch.zeros_like(x),
            Simplex(),
            step=0.5,
            inputs=[x],
            policy="keep",
        )

    broken = x.clone()
    broken[3, 1] = torch.nan
    solution = solve(broken)
    good = [i for i in range(20) if i != 3]
    assert solution.record.status[good].max() == SolveStatus.CONVERGED.code
    assert int(solution.record.status[3]) == SolveStatus.DIVERGED.code
    torch.testing.assert_close(solution.value[good], solve(x).value[good], rtol=0, atol=1e-12)
    (gradient,) = torch.autograd.grad(solution.value.sum(-1)[good].sum() + solution.value[:, 0].sum(), weight)
    assert torch.isfinite(gradient).all()


def test_an_objective_without_curvature_or_dependence() -> None:
    # Linear over the simplex: the vertex with the least cost, from any step. Constant: where it began.
    cost = torch.tensor([[3.0, 1.0, 2.0]])
    linear = projected_gradient(lambda z, c: (c * z).sum(-1), torch.zeros(1, 3), Simplex(), inputs=[cost])
    torch.testing.assert_close(linear.value, torch.tensor([[0.0, 1.0, 0.0]]))
    constant = projected_gradient(lambda z: torch.zeros(z.shape[:-1]), torch.tensor([[2.0, 0.0]]), Simplex())
    torch.testing.assert_close(constant.value, torch.tensor([[1.0, 0.0]]))


def test_policy_and_shapes() -> None:
    x = normal(4, 5)
    once = Tolerance(atol=1e-12, rtol=1e-12, max_steps=2)
    with pytest.raises(SolverError, match="step limit"):
        projected_gradient(softplus_sum, 0 * x, Simplex(), step=0.1, inputs=[x], stopping=once, policy="raise")
    empty = projected_gradient(softplus_sum, x[:0], Simplex(), inputs=[x[:0]])
    assert empty.value.shape == (0, 5)
    single = projected_gradient(lambda z: softplus_sum(z, x[0]), torch.zeros(5).double(), Simplex(), step=0.5)
    batch = projected_gradient(softplus_sum, torch.zeros_like(x), Simplex(), step=0.5, inputs=[x])
    torch.testing.assert_close(single.value, batch.value[0], rtol=0, atol=1e-4)
    double = projected_gradient(softplus_sum, 0 * x.float(), Simplex(), step=0.5, inputs=[x.float()])
    assert double.value.dtype == torch.float32
    torch.testing.assert_close(double.value.double(), batch.value, rtol=0, atol=1e-4)


def test_bad_input() -> None:
    x = normal(4, 5).requires_grad_()
    for step in (0.0, -1.0, torch.ones(3), torch.zeros(4)):
        with pytest.raises(ArgumentError, match="step"):
            projected_gradient(softplus_sum, x, Simplex(), step=step, inputs=[x])
    with pytest.raises(ArgumentError, match="one objective value a sample"):
        projected_gradient(lambda z, x: (z - x) ** 2, x, Simplex(), inputs=[x])
    with pytest.raises(ArgumentError, match="returned"):
        projected_gradient(lambda z, x: (z - x)[:, :2], x, Simplex(), is_gradient=True, step=0.1, inputs=[x])
    value = projected_gradient(softplus_sum, torch.zeros(4, 5).double(), Simplex(), step=0.5, inputs=[x]).value
    with pytest.raises(DifferentiationError, match="second derivative"):
        torch.autograd.grad(value.sum(), x, create_graph=True)
