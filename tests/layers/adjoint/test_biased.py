"""The biased adjoints against their own formulas, written densely."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers import Adjoint, Anderson, Picard, Solution, Tolerance, fixed_point
from metabench.layers.adjoint import JacobianFree, Phantom, Truncated, all_adjoints, exact_adjoints

TIGHT = Tolerance(atol=1e-14, rtol=1e-14, max_steps=1000)
BIASED = [JacobianFree(), Truncated(1), Truncated(2), Truncated(7), Phantom(), Phantom(1, 0.3), Phantom(4, 1.0)]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def problem(norm: float = 0.8) -> tuple[Tensor, Tensor, Tensor]:
    W = normal(4, 4)
    W = norm * W / torch.linalg.matrix_norm(W, 2)
    return W.requires_grad_(), normal(5, 4, seed=1).requires_grad_(), normal(5, 4, seed=2)


def solve(W: Tensor, x: Tensor, adjoint: Adjoint, *, named: bool = True) -> Solution:
    return fixed_point(
        (lambda z, y: torch.tanh(z @ W.mT + y)) if named else (lambda z: torch.tanh(z @ W.mT + x)),
        torch.zeros_like(x),
        inputs=(x,) if named else None,
        solver=Anderson(),
        stopping=TIGHT,
        adjoint=adjoint,
        policy="keep",
    )


def settings(adjoint: Adjoint) -> tuple[int, float]:
    """Steps k and damping tau: a Jacobian-free gradient is one plain step, a truncated one k of them."""
    return getattr(adjoint, "steps", 1), getattr(adjoint, "damping", 1.0)


def series(W: Tensor, z: Tensor, w: Tensor, steps: int, damping: float) -> tuple[Tensor, Tensor]:
    """Gradients of <w, z_k>, z_(j+1) = (1 - tau) z_j + tau f(z_j), at z_0 = z*: tau sum_j ((1 - tau) I + tau J^T)^j w.

    For tau = 1 that is the Neumann series of (I - J^T)^-1 w, cut after k terms.
    """
    slope = 1 - z.square()
    J = slope[..., None] * W
    step = ((1 - damping) * torch.eye(4, dtype=z.dtype) + damping * J).mT
    term, u = w[..., None], torch.zeros_like(w[..., None])
    for _ in range(steps):
        u, term = u + damping * term, step @ term
    u = u[..., 0]
    return (slope * u).mT @ z, slope * u


def test_every_adjoint_is_tested_here_or_as_exact() -> None:
    assert {type(adjoint) for adjoint in BIASED} == set(all_adjoints) - set(exact_adjoints)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("adjoint", BIASED)
def test_equals_its_own_series(adjoint: Adjoint, named: bool) -> None:
    W, x, w = problem()
    value = solve(W, x, adjoint, named=named).value
    found = torch.autograd.grad(value, (W, x), w)
    for got, want in zip(found, series(W.detach(), value.detach(), w, *settings(adjoint)), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-10, atol=1e-11)


@pytest.mark.parametrize("adjoint", BIASED)
def test_equals_autograd_through_explicit_steps_to_second_order(adjoint: Adjoint) -> None:
    W, x, w = problem()
    (steps, damping), value = settings(adjoint), solve(W, x, adjoint).value
    z = value.detach()
    for _ in range(steps):
        z = (1 - damping) * z + damping * torch.tanh(z @ W.mT + x)
    results = []
    for out in (value, z):
        first = torch.autograd.grad((out.sin() * w).sum(), (W, x), create_graph=True)
        second = torch.autograd.grad(sum(gradient.square().sum() for gradient in first), (W, x))
        results.append([*(gradient.detach() for gradient in first), *second])
    for got, want in zip(*results, strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("radius", [0.3, 0.6, 0.9])
def test_the_error_of_a_truncated_gradient_falls_with_the_spectral_radius(radius: float) -> None:
    # f = rho Q z + x with Q orthogonal: u - u_k = (rho Q^T)^k (I - rho Q^T)^-1 w, so its norm is rho^k |u| exactly.
    Q = torch.linalg.qr(normal(4, 4)).Q
    x, w = normal(5, 4, seed=1).requires_grad_(), normal(5, 4, seed=2)
    exact = torch.linalg.solve((torch.eye(4, dtype=torch.float64) - radius * Q).mT, w[..., None])[..., 0]
    for steps in (1, 2, 5, 12):
        solution = fixed_point(
            lambda z, y: radius * z @ Q.mT + y,
            torch.zeros(5, 4, dtype=torch.float64),
            inputs=(x,),
            solver=Picard(),
            stopping=TIGHT,
            adjoint=Truncated(steps),
        )
        (found,) = torch.autograd.grad(solution.value, x, w)
        ratio = (found - exact).norm(dim=-1) / exact.norm(dim=-1)
        torch.testing.assert_close(ratio, torch.full_like(ratio, radius**steps), rtol=1e-9, atol=1e-13)


def test_a_phantom_gradient_tends_to_the_exact_one() -> None:
    W, x, w = problem()
    value = solve(W, x, Phantom(400, 0.5)).value
    found = torch.autograd.grad(value, (W, x), w)
    slope = 1 - value.detach().square()
    system = torch.eye(4, dtype=torch.float64) - slope[..., None] * W.detach()
    u = torch.linalg.solve(system.mT, w[..., None])[..., 0]
    torch.testing.assert_close(found[0], (slope * u).mT @ value.detach(), rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(found[1], slope * u, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("adjoint", BIASED)
def test_the_value_is_the_equilibrium(adjoint: Adjoint) -> None:
    W, x, _ = problem()
    value = solve(W, x, adjoint).value
    torch.testing.assert_close(torch.tanh(value @ W.mT + x), value, rtol=1e-12, atol=1e-12)
    with torch.no_grad():
        plain = solve(W, x, adjoint)
    assert not plain.value.requires_grad
    torch.testing.assert_close(plain.value, value.detach(), rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("adjoint", BIASED)
def test_the_record_counts_the_steps_with_a_graph(adjoint: Adjoint) -> None:
    W, x, _ = problem()
    steps = settings(adjoint)[0]
    with torch.no_grad():
        without = solve(W, x, adjoint).record
    record = solve(W, x, adjoint).record
    assert (record.nfe - without.nfe).tolist() == [steps] * 5
    assert record.backward is not None
    assert record.backward.nfe.tolist() == [steps] * 5


@pytest.mark.parametrize("adjoint", BIASED)
def test_a_diverged_sample_does_not_spoil_shared_weights(adjoint: Adjoint) -> None:
    W, x, w = problem()
    broken = x.detach().clone()
    broken[1, 0], broken[3] = float("nan"), float("inf")
    sound = [0, 2, 4]
    solution = solve(W, broken.requires_grad_(), adjoint)
    assert bool(torch.isfinite(solution.value).all())
    found = torch.autograd.grad(solution.value, (W, broken), w)
    value = solve(W, x[sound], adjoint).value
    want = series(W.detach(), value.detach(), w[sound], *settings(adjoint))
    torch.testing.assert_close(found[0], want[0], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(found[1][sound], want[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("adjoint", BIASED)
def test_small_batches_and_replicates(adjoint: Adjoint) -> None:
    W, x, w = problem()
    assert solve(W, x[:0], adjoint).value.shape == (0, 4)
    (together,) = torch.autograd.grad(solve(W, x, adjoint).value, x, w)
    row = x[2].detach().requires_grad_()
    (alone,) = torch.autograd.grad(solve(W, row, adjoint).value, row, w[2])
    torch.testing.assert_close(alone, together[2], rtol=1e-10, atol=1e-11)
    both = torch.stack([x, 2 * x]).detach().requires_grad_()
    (stacked,) = torch.autograd.grad(solve(W, both, adjoint).value, both, torch.stack([w, w]))
    torch.testing.assert_close(stacked[0], together, rtol=1e-10, atol=1e-11)


def test_bad_settings() -> None:
    with pytest.raises(ArgumentError, match="steps=0"):
        Truncated(0)
    with pytest.raises(ArgumentError, match="steps=0"):
        Phantom(0)
    for damping in (0.0, 1.5):
        with pytest.raises(ArgumentError, match="damping"):
            Phantom(2, damping)
