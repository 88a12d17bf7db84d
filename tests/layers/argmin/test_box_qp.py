"""The box-constrained quadratic program against SciPy, its optimality conditions and finite differences."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from torch import Tensor

from metabench.errors import ArgumentError, DifferentiationError, SolverError
from metabench.layers.argmin import Box, box_qp, quadratic_program
from metabench.layers.record import SolveStatus
from metabench.layers.stopping import Tolerance

INF = float("inf")


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def program(batch: int = 4, n: int = 6) -> tuple[Tensor, Tensor]:
    root = normal(batch, n, n)
    return root @ root.mT / n + 0.2 * torch.eye(n, dtype=torch.float64), 2 * normal(batch, n, seed=1)


def test_agrees_with_scipy_and_meets_the_optimality_conditions() -> None:
    Q, q = program(batch=8)
    lower, upper = -0.5 - normal(6, seed=2).abs(), 0.3 + normal(8, 6, seed=3).abs()
    solution = box_qp(Q, q, lower, upper)
    assert solution.record.converged.all()
    z = solution.value
    slope = (Q @ z[..., None])[..., 0] + q
    torch.testing.assert_close(slope, solution.lower_dual - solution.upper_dual, rtol=0, atol=1e-10)
    assert float(torch.minimum(solution.lower_dual, z - lower).abs().max()) <= 1e-10
    assert float(torch.minimum(solution.upper_dual, upper - z).abs().max()) <= 1e-10
    for i in range(8):
        answer = minimize(
            lambda v, i=i: 0.5 * v @ Q[i].numpy() @ v + q[i].numpy() @ v,
            np.zeros(6),
            jac=lambda v, i=i: Q[i].numpy() @ v + q[i].numpy(),
            bounds=list(zip(lower.tolist(), upper[i].tolist(), strict=True)),
            method="L-BFGS-B",
            options={"ftol": 1e-15, "gtol": 1e-10},
        )
        np.testing.assert_allclose(z[i].numpy(), answer.x, atol=1e-7)


@pytest.mark.parametrize("shared", [False, True])
def test_gradcheck(shared: bool) -> None:
    Q, q = program(batch=3, n=4)
    Q = Q[0] if shared else Q
    lower = -0.5 - normal(*(() if shared else (3,)), 4, seed=2).abs()
    upper = 0.3 + normal(*(() if shared else (3,)), 4, seed=3).abs()

    def outputs(Q: Tensor, q: Tensor, lower: Tensor, upper: Tensor) -> tuple[Tensor, ...]:
        solution = box_qp((Q + Q.mT) / 2, q, lower, upper)
        return solution.value, solution.lower_dual, solution.upper_dual

    tensors = [t.requires_grad_() for t in (Q, q, lower, upper)]
    with torch.no_grad():
        z, below, above = outputs(*tensors)
        assert float(torch.maximum(z - lower, below).min()) > 1e-3  # no kink within a finite difference
        assert float(torch.maximum(upper - z, above).min()) > 1e-3
        assert float(below.max()) > 0.1
        assert float(above.max()) > 0.1
    assert torch.autograd.gradcheck(outputs, tensors, atol=1e-6, rtol=1e-5)


def test_agrees_with_the_splitting() -> None:
    Q, q = program(batch=5)
    stopping = Tolerance(atol=1e-12, rtol=1e-12, max_steps=2000)
    expected = quadratic_program(Q[0], -q, Box(-1.0, 1.0), stopping=stopping).value
    torch.testing.assert_close(box_qp(Q[0], q, -1.0, 1.0).value, expected, rtol=0, atol=1e-9)


def test_bounds_that_are_not_there() -> None:
    Q, q = program()
    free = torch.linalg.solve(Q, -q)
    for lower, upper in ((-INF, INF), (torch.full((6,), -INF).double(), INF), (-1e3, INF), (-INF, 1e3)):
        solution = box_qp(Q, q, lower, upper)
        torch.testing.assert_close(solution.value, free, rtol=1e-9, atol=1e-9)
        assert solution.lower_dual.shape == solution.upper_dual.shape == (4, 6)
    # x >= 0 for the first entry alone, in the first sample alone: as with an explicit large bound.
    lower = torch.full((4, 6), -INF, dtype=torch.float64)
    lower[0, 0] = 0.7
    far = lower.clamp_min(-1e4).requires_grad_()
    lower.requires_grad_()
    solution, expected = box_qp(Q, q, lower, INF), box_qp(Q, q, far, INF)
    torch.testing.assert_close(solution.value, expected.value, rtol=0, atol=1e-9)
    assert not solution.upper_dual.any()
    gradient, want = (torch.autograd.grad(s.value.sum(), leaf)[0] for s, leaf in ((solution, lower), (expected, far)))
    torch.testing.assert_close(gradient, want, rtol=0, atol=1e-9)
    assert float(gradient[0, 0]) != 0


def test_by_hand() -> None:
    # 1/2 z^2 - 2 z over [0, 1]: z = 1, held with force 1. 1/2 z^2 + z: z = 0, held with force 1.
    Q = torch.eye(2, dtype=torch.float64)
    solution = box_qp(Q, torch.tensor([-2.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(solution.value, torch.tensor([1.0, 0.0], dtype=torch.float64), rtol=0, atol=1e-11)
    torch.testing.assert_close(solution.upper_dual, torch.tensor([1.0, 0.0], dtype=torch.float64), rtol=0, atol=1e-11)
    torch.testing.assert_close(solution.lower_dual, torch.tensor([0.0, 1.0], dtype=torch.float64), rtol=0, atol=1e-11)


def test_bad_samples() -> None:
    Q, q = program(batch=5)
    lower, upper = torch.zeros(5, 6, dtype=torch.float64), torch.ones(5, 6, dtype=torch.float64)
    q[1, 0], lower[2, 3], upper[3, 2] = torch.nan, torch.nan, -1.0
    solution = box_qp(Q, q, lower, upper, policy="keep")
    invalid, infeasible = SolveStatus.INVALID.code, SolveStatus.INFEASIBLE.code
    assert solution.record.status.tolist() == [0, invalid, invalid, infeasible, 0]
    good = [0, 4]
    assert torch.equal(solution.value[good], box_qp(Q[good], q[good], lower[good], upper[good]).value)
    with pytest.raises(SolverError, match="1 of 5 samples: the constraints are infeasible"):
        box_qp(Q, q, lower, upper, policy="raise")


def test_equal_bounds_fix_a_variable() -> None:
    Q, q = program(batch=2, n=3)
    lower, upper = torch.tensor([0.5, -9.0, -9.0]).double(), torch.tensor([0.5, 9.0, 9.0]).double()
    solution = box_qp(Q, q, lower, upper)
    rest = torch.linalg.solve(Q[:, 1:, 1:], -(q[:, 1:] + 0.5 * Q[:, 1:, 0]))
    torch.testing.assert_close(solution.value, torch.cat([torch.full((2, 1), 0.5).double(), rest], -1))


def test_shapes_and_bad_input() -> None:
    Q, q = program()
    assert box_qp(Q[:0], q[:0]).value.shape == (0, 6)
    assert box_qp(Q[0], q[0]).value.shape == (6,)
    assert box_qp(Q.float(), q.float()).value.dtype == torch.float32
    with pytest.raises(ArgumentError, match=r"upper has shape \(5,\)"):
        box_qp(Q, q, 0.0, torch.ones(5, dtype=torch.float64))
    with pytest.raises(ArgumentError, match="do not broadcast"):
        box_qp(Q, q, torch.zeros(2, 6, dtype=torch.float64), torch.ones(3, 6, dtype=torch.float64))
    with pytest.raises(ArgumentError, match="not positive definite"):
        box_qp(-Q[0], q)
    with pytest.raises(DifferentiationError, match="second derivative"):
        torch.autograd.grad(box_qp(Q, q.requires_grad_()).value.sum(), q, create_graph=True)
