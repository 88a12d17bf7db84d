"""The exact adjoints: finite differences, the dense implicit gradient, float32, one sample apart from the others."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

import metabench.layers.record as record_module
from metabench.errors import ArgumentError, SolverError
from metabench.layers import (
    Adjoint,
    Anderson,
    FixedPointSolver,
    Implicit,
    Picard,
    Solution,
    SolveStatus,
    Tolerance,
    fixed_point,
)
from metabench.layers.adjoint import ImplicitDense, Unrolled, WarmStart, all_adjoints, exact_adjoints
from metabench.layers.fixed_point import Broyden, all_solvers

TIGHT = Tolerance(atol=1e-13, rtol=1e-13, max_steps=500)
SOLVERS = [*(kind() for kind in all_solvers), Picard(damping=0.7), Anderson(mixing=0.9), Anderson(delay=4)]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def problem(dim: int = 4, batch: int = 5, norm: float = 0.8) -> tuple[Tensor, Tensor, Tensor]:
    """W, x, and an incoming gradient w."""
    W = normal(dim, dim)
    W = norm * W / torch.linalg.matrix_norm(W, 2)
    return W.requires_grad_(), normal(batch, dim, seed=1).requires_grad_(), normal(batch, dim, seed=2)


def dense(W: Tensor, x: Tensor, w: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients of <w, z*> to W and x of z = tanh(Wz + x): u = (I - J)^-T w, J = diag(1 - z^2) W."""
    W, x, w = W.detach().double(), x.detach().double(), w.double()
    z = torch.zeros_like(x)
    for _ in range(3000):
        z = torch.tanh(z @ W.mT + x)
    slope = 1 - z.square()
    system = torch.eye(W.shape[-1], dtype=W.dtype) - slope[..., None] * W
    u = torch.linalg.solve(system.mT, w[..., None])[..., 0]
    return (slope * u).mT @ z, slope * u


def solve(
    W: Tensor,
    x: Tensor,
    adjoint: Adjoint,
    solver: FixedPointSolver | None = None,
    *,
    named: bool = True,
    stopping: Tolerance = TIGHT,
    policy: Any = "keep",
) -> Solution:
    return fixed_point(
        (lambda z, y: torch.tanh(z @ W.mT + y)) if named else (lambda z: torch.tanh(z @ W.mT + x)),
        torch.zeros_like(x),
        inputs=(x,) if named else None,
        solver=Picard() if solver is None else solver,
        stopping=stopping,
        adjoint=adjoint,
        policy=policy,
    )


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("kind", exact_adjoints)
@pytest.mark.parametrize("solver", SOLVERS)
def test_gradcheck(solver: FixedPointSolver, kind: type[Adjoint], named: bool) -> None:
    W, x, _ = problem(dim=3, batch=2)
    if kind is Unrolled and not isinstance(solver, Picard):
        with pytest.raises(ArgumentError, match="plain iterations"):
            solve(W, x, kind(), solver)
        return
    assert torch.autograd.gradcheck(lambda W, x: solve(W, x, kind(), solver, named=named).value, (W, x))


@pytest.mark.parametrize("back", all_solvers)
def test_every_solver_solves_the_adjoint_equation(back: type[FixedPointSolver]) -> None:
    W, x, w = problem()
    adjoint = Implicit(solver=back())
    if back.__name__ == "Newton":  # the adjoint map is linear, and Newton differentiates it
        adjoint = Implicit(solver=back(), stopping=TIGHT)
    found = torch.autograd.grad(solve(W, x, adjoint, Anderson()).value, (W, x), w)
    for got, want in zip(found, dense(W, x, w), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("kind", exact_adjoints)
def test_equals_the_dense_implicit_gradient_in_a_batch_that_narrows(kind: type[Adjoint], named: bool) -> None:
    W, x, w = problem(dim=6, batch=48, norm=0.9)
    x = (x.detach() * torch.linspace(0.02, 8.0, 48, dtype=torch.float64)[:, None]).requires_grad_()  # slow to quick
    solution = solve(W, x, kind(), named=named)
    assert len(set(solution.record.steps.tolist())) > 5
    found = torch.autograd.grad(solution.value, (W, x), w)
    for got, want in zip(found, dense(W, x, w), strict=True):
        torch.testing.assert_close(got, want, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("adjoint", [Implicit(), ImplicitDense()])
def test_float32_near_the_stability_limit(adjoint: Adjoint) -> None:
    # The specification: symmetric W of spectral radius 0.94, dimension 128, batch 64: error <= 5e-5 in float32.
    W = normal(128, 128)
    W = (W + W.mT) / 2
    W = 0.94 * W / torch.linalg.eigvalsh(W).abs().max()
    x, w = 0.1 * normal(64, 128, seed=1), normal(64, 128, seed=2)
    single, inputs = W.float().requires_grad_(), x.float().requires_grad_()
    stopping = Tolerance(atol=0.0, rtol=5e-6)
    solution = solve(single, inputs, adjoint, Anderson(), stopping=stopping, policy="raise")
    found = torch.autograd.grad(solution.value, (single, inputs), w.float())
    assert bool(solution.record.converged.all())
    assert int(solution.record.nfe.max()) <= 50
    assert solution.record.backward is not None
    assert bool(solution.record.backward.converged.all())
    for got, want in zip(found, dense(W, x, w), strict=True):
        assert float((got - want).norm() / want.norm()) <= 5e-5


@pytest.mark.parametrize("named", [True, False])
@pytest.mark.parametrize("kind", exact_adjoints)
def test_gradients_alone_and_in_a_batch_are_the_same(kind: type[Adjoint], named: bool) -> None:
    W, x, w = problem(batch=40, norm=0.95)
    x = (x.detach() * torch.linspace(0.05, 4.0, 40, dtype=torch.float64)[:, None]).requires_grad_()
    stopping = Tolerance(atol=1e-8, rtol=1e-8, max_steps=500)
    whole = solve(W, x, kind(), named=named, stopping=stopping)
    (together,) = torch.autograd.grad(whole.value, x, w)
    assert whole.record.backward is not None
    for i in range(0, 40, 9):
        row = x[i : i + 1].detach().requires_grad_()
        alone = solve(W, row, kind(), named=named, stopping=stopping)
        (gradient,) = torch.autograd.grad(alone.value, row, w[i : i + 1])
        torch.testing.assert_close(gradient[0], together[i], rtol=1e-10, atol=1e-11)
        assert alone.record.backward is not None
        assert int(alone.record.backward.nfe) == int(whole.record.backward.nfe[i])


@pytest.mark.parametrize("kind", exact_adjoints)
def test_replicates_have_weights_of_their_own(kind: type[Adjoint]) -> None:
    W = torch.stack([0.2 * normal(3, 3, seed=s) for s in (1, 2)]).requires_grad_()
    x, w = normal(2, 20, 3, seed=3), normal(2, 20, 3, seed=4)
    value = solve(W, x, kind()).value
    (found,) = torch.autograd.grad(value, W, w)
    for r in range(2):
        torch.testing.assert_close(found[r], dense(W[r], x[r], w[r])[0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", exact_adjoints)
def test_a_diverged_sample_does_not_spoil_shared_weights(kind: type[Adjoint]) -> None:
    W, x, w = problem()
    broken = x.detach().clone()
    broken[1, 0], broken[3] = float("nan"), float("inf")
    sound = [0, 2, 4]
    value = solve(W, broken.requires_grad_(), kind()).value
    # The incoming gradient is not zero at the diverged samples: a loss summed over the batch.
    found = torch.autograd.grad(value, (W, broken), w)
    want = dense(W, x[sound], w[sound])
    torch.testing.assert_close(found[0], want[0], rtol=1e-9, atol=1e-10)
    torch.testing.assert_close(found[1][sound], want[1], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", exact_adjoints)
def test_a_sample_that_overflows_does_not_spoil_shared_weights(kind: type[Adjoint]) -> None:
    # z <- z^2 + c w escapes for a large c, in a few steps, by itself.
    c = torch.tensor([[0.1], [50.0], [-0.3]], dtype=torch.float64)
    weight = torch.ones((), dtype=torch.float64, requires_grad=True)
    solution = fixed_point(
        lambda z, c: z.square() + c * weight,
        torch.zeros_like(c),
        inputs=(c,),
        solver=Picard(),
        stopping=TIGHT,
        adjoint=kind(),
        policy="keep",
    )
    assert solution.record.status.tolist() == [0, SolveStatus.DIVERGED.code, 0]
    (gradient,) = torch.autograd.grad(solution.value[[0, 2]].sum(), weight)
    # z = (1 - sqrt(1 - 4 c)) / 2, dz/dweight = c / sqrt(1 - 4 c).
    assert gradient.item() == pytest.approx(0.1 / 0.6**0.5 - 0.3 / 2.2**0.5, rel=1e-9)


@pytest.mark.parametrize("factor", [1e-12, 1e-6, 1e6, 1e12])
@pytest.mark.parametrize("kind", exact_adjoints)
def test_the_gradient_is_proportional_to_what_comes_in(kind: type[Adjoint], factor: float) -> None:
    W, x, w = problem()
    stopping = Tolerance(atol=1e-8, rtol=1e-8)
    (plain,) = torch.autograd.grad(solve(W, x, kind(), stopping=stopping).value, W, w)
    (scaled,) = torch.autograd.grad(solve(W, x, kind(), stopping=stopping).value, W, factor * w)
    torch.testing.assert_close(scaled / factor, plain, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", exact_adjoints)
def test_a_zero_gradient_comes_back_zero(kind: type[Adjoint]) -> None:
    W, x, w = problem()
    w[2] = 0.0
    value = solve(W, x, kind()).value
    found = torch.autograd.grad(value, (W, x), w, retain_graph=True)
    assert not bool(found[1][2].any())
    assert bool(found[1][[0, 1, 3, 4]].all())
    for gradient in torch.autograd.grad(value, (W, x), torch.zeros_like(w)):
        assert not bool(gradient.any())


@pytest.mark.parametrize("kind", exact_adjoints)
def test_the_backward_record_is_filled(kind: type[Adjoint]) -> None:
    W, x, w = problem()
    record = solve(W, x, kind()).record
    solution = solve(W, x, kind())
    torch.autograd.grad(solution.value, W, w)
    backward = solution.record.backward
    assert backward is not None
    for field in ("status", "steps", "nfe", "residual"):
        assert getattr(backward, field).shape == (5,)
    assert bool(backward.converged.all())
    assert bool((backward.nfe >= 1).all())
    assert record is not solution.record
    if kind is ImplicitDense:
        assert backward.nfe.tolist() == [4] * 5  # a product for each dimension
    if kind is Unrolled:
        assert torch.equal(backward.nfe, solution.record.steps)


def test_a_backward_pass_may_run_twice() -> None:
    W, x, w = problem()
    for kind in exact_adjoints:
        value = solve(W, x, kind()).value
        first = torch.autograd.grad(value, (W, x), w, retain_graph=True)
        second = torch.autograd.grad(value, (W, x), w)
        torch.testing.assert_close(first, second)


def test_an_adjoint_that_does_not_converge_follows_its_policy(monkeypatch: pytest.MonkeyPatch) -> None:
    W, x, w = problem(norm=0.99)
    size = torch.tensor([[6.0], [0.01], [6.0], [0.01], [6.0]], dtype=torch.float64)
    x = (size * x.detach().sign()).requires_grad_()  # where tanh is flat the adjoint equation is solved at once
    short = Tolerance(atol=0.0, rtol=1e-9, max_steps=12)

    def gradient(policy: Any) -> tuple[Tensor, Solution]:
        solution = solve(W, x, Implicit(stopping=short, policy=policy), Picard(), stopping=Tolerance(max_steps=5000))
        return torch.autograd.grad(solution.value, x, w)[0], solution

    kept, solution = gradient("keep")
    assert solution.record.backward is not None
    missed = ~solution.record.backward.converged
    assert missed.tolist() == [False, True, False, True, False]
    assert bool(torch.isfinite(kept).all())
    marked, _ = gradient("nan")
    assert torch.equal(torch.isnan(marked).all(-1), missed)
    torch.testing.assert_close(marked[~missed], kept[~missed])
    with pytest.raises(SolverError, match="implicit adjoint: 2 of 5 samples: reached the step limit"):
        gradient("raise")
    monkeypatch.setattr(record_module, "_warned", set())
    with pytest.warns(RuntimeWarning, match="implicit adjoint: 2 of 5"):
        gradient("warn")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gradient("warn")


@pytest.mark.parametrize("solver", [Picard(), Anderson(), Broyden()])
def test_a_warm_start_takes_fewer_products(solver: FixedPointSolver) -> None:
    W, x, w = problem(norm=0.9)
    memory = WarmStart()
    adjoint = Implicit(warm_start=memory)
    stopping = Tolerance(atol=0.0, rtol=1e-8, max_steps=500, check_every=1)
    records, gradients = [], []
    for nudge in (0.0, 1e-6, 0.0):
        solution = solve(W, x, adjoint, solver, stopping=stopping)
        gradients.append(torch.autograd.grad(solution.value, W, w + nudge)[0])
        assert solution.record.backward is not None
        records.append(solution.record.backward)
        assert bool(records[-1].converged.all())
    assert memory.value is not None
    assert memory.value.shape == x.shape
    assert bool((records[1].nfe < records[0].nfe).all())
    torch.testing.assert_close(gradients[2], gradients[0], rtol=1e-6, atol=1e-6)
    with pytest.raises(ArgumentError, match="warm start of shape"):
        torch.autograd.grad(solve(W, x[:2], adjoint, solver).value.sum(), W)


def test_equal_settings_are_equal_adjoints() -> None:
    assert Implicit() == Implicit(warm_start=WarmStart())
    assert Implicit(solver=Picard()) != Implicit(solver=Anderson())


@pytest.mark.parametrize("kind", exact_adjoints)
def test_small_batches(kind: type[Adjoint]) -> None:
    W, x, w = problem()
    for named in (True, False):
        value = solve(W, x[:0], kind(), named=named).value
        assert value.shape == (0, 4)
        (gradient,) = torch.autograd.grad(value.sum(), W, allow_unused=True)
        assert gradient is None or not bool(gradient.any())
        for rows in (slice(0, 1), 0):
            value = solve(W, x[rows], kind(), named=named).value
            assert value.shape == x[rows].shape
            (gradient,) = torch.autograd.grad(value, W, w[rows])
            torch.testing.assert_close(gradient, dense(W, x[:1], w[:1])[0], rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("kind", exact_adjoints)
def test_an_image_that_does_not_depend_on_the_state(kind: type[Adjoint]) -> None:
    x = normal(3, 2).requires_grad_()
    value = fixed_point(
        lambda z, y: y.square(), torch.zeros(3, 2).double(), inputs=(x,), solver=Picard(), adjoint=kind()
    )
    (gradient,) = torch.autograd.grad(value.value.sum(), x)
    torch.testing.assert_close(gradient, 2 * x.detach())


@pytest.mark.parametrize("kind", exact_adjoints)
def test_nothing_is_recorded_without_grad(kind: type[Adjoint]) -> None:
    W, x, _ = problem()
    with torch.no_grad():
        solution = solve(W, x, kind())
    assert not solution.value.requires_grad
    torch.testing.assert_close(solution.value, solve(W, x, kind()).value.detach(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("kind", all_adjoints)
def test_a_value_depends_on_nothing_if_nothing_wants_a_gradient(kind: type[Adjoint]) -> None:
    W, x, _ = problem()
    assert not solve(W.detach(), x.detach(), kind()).value.requires_grad


def test_unrolled_differentiates_the_steps_of_each_sample() -> None:
    # z <- a z + 1 with damping d for k steps from z0: the value is known as a polynomial in a.
    a = torch.tensor([[0.5], [0.2]], dtype=torch.float64, requires_grad=True)
    z0 = torch.tensor([[3.0], [3.0]], dtype=torch.float64, requires_grad=True)
    stopping = Tolerance(atol=0.0, rtol=1e-3)
    solution = fixed_point(
        lambda z, a: a * z + 1, z0, inputs=(a,), solver=Picard(), stopping=stopping, adjoint=Unrolled()
    )
    steps = solution.record.steps
    assert steps[0] > steps[1]
    found = torch.autograd.grad(solution.value.sum(), (a, z0))
    for i in range(2):
        k = int(steps[i])
        value = a[i] ** k * z0[i] + sum(a[i] ** j for j in range(k))
        torch.testing.assert_close(solution.value[i], value)
        want = torch.autograd.grad(value.sum(), (a, z0))
        torch.testing.assert_close(found[0][i], want[0][i])
        torch.testing.assert_close(found[1][i], want[1][i])


@pytest.mark.parametrize("named", [True, False])
def test_products_by_hand_give_the_same_gradient(named: bool) -> None:
    W, x, w = problem(norm=0.9)
    calls = []

    def linearise(z: Tensor, y: Tensor = x) -> Callable[[Tensor, Tensor], Tensor]:
        calls.append(len(z))
        slope = 1 - torch.tanh(z @ W.detach().mT + y.detach()).square()
        return lambda u, w: w + (u * slope) @ W.detach()

    def gradient(adjoint: Implicit) -> list[Tensor]:
        f: Any = (lambda z, y: torch.tanh(z @ W.mT + y)) if named else (lambda z: torch.tanh(z @ W.mT + x))
        solution = fixed_point(f, torch.zeros_like(x), inputs=(x,) if named else None, stopping=TIGHT, adjoint=adjoint)
        return list(torch.autograd.grad(solution.value, (W, x), w))

    for found, wanted in zip(gradient(Implicit(linearise=linearise)), gradient(Implicit()), strict=True):
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-10)
    assert calls[0] == len(x)
