"""Monotone inclusions and quadratic programs over a set, against SciPy and finite differences."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from metabench.errors import ArgumentError, DifferentiationError
from metabench.layers import (
    Box,
    ConvexSet,
    Orthant,
    Simplex,
    Tolerance,
    monotone_inclusion,
    quadratic_program,
)

TIGHT = Tolerance(atol=1e-13, rtol=1e-13, max_steps=2000)


def program(dim: int = 5, batch: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    W = 0.6 * torch.randn(2, dim, dim, dtype=torch.float64, generator=generator)
    return W.requires_grad_(), (
        2 * torch.randn(2, batch, dim, dtype=torch.float64, generator=generator)
    ).requires_grad_()


def gram(W: torch.Tensor) -> torch.Tensor:
    return W.mT @ W + 0.5 * torch.eye(W.shape[-1], dtype=W.dtype)


@pytest.mark.parametrize("onto", [Box(), Simplex(), Orthant()])
def test_program_gradcheck_with_shared_matrix(onto: ConvexSet) -> None:
    W, p = program()
    assert torch.autograd.gradcheck(
        lambda W, p: quadratic_program(gram(W), p, onto, modulus=0.5, stopping=TIGHT).value, (W, p)
    )


@pytest.mark.parametrize("onto", [Box(-1, 1), Simplex()])
def test_program_agrees_with_scipy(onto: ConvexSet) -> None:
    W, p = program()
    Q = gram(W).detach()
    z = quadratic_program(Q, p.detach(), onto, stopping=TIGHT).value
    simplex = isinstance(onto, Simplex)
    for r, b in np.ndindex(2, 4):
        matrix, linear = Q[r].numpy(), p[r, b].detach().numpy()
        answer = minimize(
            lambda v, matrix=matrix, linear=linear: 0.5 * v @ matrix @ v - v @ linear,
            np.full(5, 0.2),
            jac=lambda v, matrix=matrix, linear=linear: matrix @ v - linear,
            bounds=[(0, 1) if simplex else (-1, 1)] * 5,
            constraints=[{"type": "eq", "fun": lambda v: v.sum() - 1}] if simplex else [],
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        np.testing.assert_allclose(z[r, b].numpy(), answer.x, atol=2e-6)


def test_monotone_equilibrium_is_one_and_has_the_exact_gradient() -> None:
    W, p = program()

    def solve(W: torch.Tensor, p: torch.Tensor) -> torch.Tensor:
        A = 0.5 * torch.eye(5, dtype=W.dtype) + W.mT @ W - W + W.mT
        return monotone_inclusion(A, p, Orthant(), modulus=0.5, stopping=TIGHT).value

    z = solve(W, p)
    M = torch.eye(5, dtype=torch.float64) - (0.5 * torch.eye(5, dtype=torch.float64) + W.mT @ W - W + W.mT)
    torch.testing.assert_close(z, torch.relu(z @ M.mT + p), rtol=1e-10, atol=1e-10)
    assert torch.autograd.gradcheck(solve, (W, p))


def test_a_nan_sample_does_not_harm_the_others() -> None:
    W, p = program()
    clean = quadratic_program(gram(W), p, Box(), modulus=0.5).value
    broken = p.detach().clone()
    broken[0, 1, 2] = float("nan")
    solution = quadratic_program(gram(W), broken, Box(), modulus=0.5, policy="keep")
    good = solution.record.converged
    assert good.sum() == good.numel() - 1
    torch.testing.assert_close(solution.value[good], clean[good])


def test_second_derivatives_raise() -> None:
    W, p = program()
    value = quadratic_program(gram(W), p, Box(), modulus=0.5).value
    with pytest.raises(DifferentiationError, match="second derivative"):
        torch.autograd.grad(value.sum(), p, create_graph=True)


def test_bad_input() -> None:
    eye, p = torch.eye(3), torch.zeros(2, 3)
    with pytest.raises(ArgumentError, match="square"):
        quadratic_program(torch.zeros(3, 2), p, Box(), modulus=1.0)
    with pytest.raises(ArgumentError, match=r"p has shape \(2, 4\)"):
        quadratic_program(eye, torch.zeros(2, 4), Box(), modulus=1.0)
    with pytest.raises(ArgumentError, match="not symmetric"):
        quadratic_program(eye + torch.tensor([[0.0, 1, 0], [0, 0, 0], [0, 0, 0]]), p, Box())
    with pytest.raises(ArgumentError, match="positive definite"):
        quadratic_program(-eye, p, Box())
    assert quadratic_program(eye, torch.zeros(0, 3), Box(), modulus=1.0).value.shape == (0, 3)
