"""The root layer: the circle of the specification, linear systems, and what has no derivative."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from metabench.errors import ArgumentError, DifferentiationError, SolverError
from metabench.layers import Implicit, SolveStatus, Tolerance
from metabench.layers.fixed_point import Broyden
from metabench.layers.root import root

TIGHT = Tolerance(atol=1e-13, rtol=1e-13)
A = torch.tensor([[0.0], [0.3], [-0.6], [0.8]], dtype=torch.float64)


def circle(z: Tensor, a: Tensor) -> Tensor:
    """a^2 + z^2 - 1 = 0: z = +-sqrt(1 - a^2), dz/da = -a / z."""
    return a.square() + z.square() - 1


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_the_circle_has_two_roots_and_the_start_decides(side: float) -> None:
    a = A.clone().requires_grad_()
    solution = root(circle, torch.full_like(A, side), inputs=(a,), stopping=TIGHT)
    exact = side * (1 - A.square()).sqrt()
    torch.testing.assert_close(solution.value.detach(), exact, rtol=1e-12, atol=1e-12)
    (gradient,) = torch.autograd.grad(solution.value.sum(), a)
    torch.testing.assert_close(gradient, -A / exact, rtol=1e-11, atol=1e-11)
    assert bool(solution.record.converged.all())
    assert solution.record.backward is not None
    assert bool(solution.record.backward.converged.all())


def test_closed_over_parameters_and_gradcheck() -> None:
    a = A.clone().requires_grad_()
    assert torch.autograd.gradcheck(
        lambda a: root(lambda z: circle(z, a), torch.ones_like(A), stopping=TIGHT).value, (a,)
    )
    radius = torch.tensor(2.0, dtype=torch.float64, requires_grad=True)  # shared: the gradient is a sum over samples
    value = root(lambda z: A.square() + z.square() - radius.square(), torch.ones_like(A), stopping=TIGHT).value
    (gradient,) = torch.autograd.grad(value.sum(), radius)
    torch.testing.assert_close(gradient, (2.0 / (4 - A.square()).sqrt()).sum(), rtol=1e-11, atol=1e-11)


def test_newton_converges_quadratically() -> None:
    solution = root(circle, torch.ones_like(A), inputs=(A,), stopping=TIGHT)
    assert int(solution.record.steps.max()) <= 7
    assert solution.record.steps[0] == 1  # z0 = 1 is the root for a = 0


@pytest.mark.parametrize(
    ("solver", "adjoint"),
    [(None, None), (Broyden(), None), (None, Implicit(solver=Broyden())), (Broyden(), Implicit())],
)
def test_linear_systems(solver: Any, adjoint: Any) -> None:
    generator = torch.Generator().manual_seed(0)
    M = torch.eye(3, dtype=torch.float64) + 0.3 * torch.randn(3, 3, dtype=torch.float64, generator=generator)
    b = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    M.requires_grad_(), b.requires_grad_()

    def layer(M: Tensor, b: Tensor) -> Tensor:
        solution = root(
            lambda z, c: z @ M.mT - c,
            torch.zeros_like(b),
            inputs=(b,),
            solver=solver,
            adjoint=adjoint,
            stopping=TIGHT,
            policy="raise",
        )
        return solution.value

    torch.testing.assert_close(layer(M, b), torch.linalg.solve(M, b.mT).mT, rtol=1e-11, atol=1e-11)
    assert torch.autograd.gradcheck(layer, (M, b))


def test_coupled_equations_against_the_dense_formula() -> None:
    # z1 + z2 = s, z1 z2 = p: the roots of t^2 - s t + p.
    s = torch.tensor([[3.0, 2.0], [5.0, 6.0]], dtype=torch.float64, requires_grad=True)

    def g(z: Tensor, s: Tensor) -> Tensor:
        return torch.stack([z.sum(-1) - s[..., 0], z.prod(-1) - s[..., 1]], dim=-1)

    start = torch.tensor([[0.0, 4.0], [0.0, 4.0]], dtype=torch.float64)
    value = root(g, start, inputs=(s,), stopping=TIGHT).value
    torch.testing.assert_close(value.detach(), torch.tensor([[1.0, 2.0], [2.0, 3.0]], dtype=torch.float64))
    # dz1 = (z1 ds - dp) / (z1 - z2), from the two differentials.
    (gradient,) = torch.autograd.grad(value[..., 0].sum(), s)
    expected = torch.tensor([[1.0 / -1.0, -1.0 / -1.0], [2.0 / -1.0, -1.0 / -1.0]], dtype=torch.float64)
    torch.testing.assert_close(gradient, expected)


def test_a_singular_root_says_so_and_harms_nobody() -> None:
    # At a = 1 the root z = 0 is double: dg/dz = 0, and dz/da does not exist.
    a = torch.tensor([[0.6], [1.0]], dtype=torch.float64, requires_grad=True)
    start = torch.tensor([[1.0], [0.0]], dtype=torch.float64)
    solution = root(circle, start, inputs=(a,), stopping=TIGHT, policy="keep")
    assert solution.value.flatten().tolist() == pytest.approx([0.8, 0.0])
    (gradient,) = torch.autograd.grad(solution.value.sum(), a)
    backward = solution.record.backward
    assert backward is not None
    assert backward.status.tolist() == [SolveStatus.CONVERGED.code, SolveStatus.DIVERGED.code]
    assert gradient[0].item() == pytest.approx(-0.6 / 0.8)
    assert gradient[1].item() == 0.0


def test_no_root() -> None:
    a = torch.tensor([[2.0], [0.5]], dtype=torch.float64)  # a^2 + z^2 = 1 has no real root for a = 2
    solution = root(circle, torch.ones_like(a), inputs=(a,), policy="keep")
    assert solution.record.converged.tolist() == [False, True]
    with pytest.raises(SolverError, match="1 of 2 samples"):
        root(circle, torch.ones_like(a), inputs=(a,), policy="raise")


def test_nan_and_small_batches() -> None:
    a = A.clone()
    a[1] = float("nan")
    solution = root(circle, torch.ones_like(A), inputs=(a,), policy="keep")
    assert solution.record.status[1] == SolveStatus.DIVERGED.code
    good = [0, 2, 3]
    torch.testing.assert_close(solution.value[good], (1 - A[good].square()).sqrt(), rtol=1e-5, atol=1e-5)
    assert root(circle, torch.ones_like(A[:0]), inputs=(A[:0],)).value.shape == (0, 1)
    torch.testing.assert_close(root(circle, torch.ones(1), inputs=(torch.tensor([0.6]),)).value, torch.tensor([0.8]))


def test_second_derivatives_raise() -> None:
    a = A.clone().requires_grad_()
    value = root(circle, torch.ones_like(A), inputs=(a,)).value
    with pytest.raises(DifferentiationError, match="second derivative"):
        torch.autograd.grad(value.sum(), a, create_graph=True)


@pytest.mark.parametrize(
    ("g", "inputs", "message"),
    [
        (lambda z: torch.zeros(2, 2, dtype=z.dtype), None, r"returned \(2, 2\)"),
        (lambda z: z[..., 0], None, r"returned \(2, 2\)|returned \(2,\)"),
        (lambda z, a: z, (torch.zeros(3, 1),), r"inputs\[0\] has shape \(3, 1\)"),
    ],
)
def test_wrong_shapes(g: Callable[..., Tensor], inputs: Any, message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        root(g, torch.zeros(2, 1), inputs=inputs)
