"""The chord method: closed forms, gradients, a batch whose samples differ, and what falls back on the identity."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers import Chord, Implicit, ImplicitDense, Solution, SolveStatus, Tolerance, fixed_point
from metabench.layers.fixed_point import Broyden, all_solvers, batch_solvers

TIGHT = Tolerance(atol=1e-13, rtol=1e-13, max_steps=200)
SETTINGS = [Chord(), Chord(delay=3), Chord(memory=2)]


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def contraction(dim: int, norm: float) -> Tensor:
    W = normal(dim, dim)
    return norm * W / torch.linalg.matrix_norm(W, 2)


def solve(
    solver: Chord | Broyden, W: Tensor, x: Tensor, strength: Tensor, *, named: bool = True, stopping: Tolerance = TIGHT
) -> Solution:
    """z = tanh(strength W z + x)."""

    def cell(z: Tensor, x: Tensor, strength: Tensor) -> Tensor:
        return torch.tanh(strength * (z @ W.mT) + x)

    return fixed_point(
        cell if named else lambda z: cell(z, x, strength),
        torch.zeros_like(x),
        inputs=(x, strength) if named else None,
        solver=solver,
        stopping=stopping,
        policy="keep",
    )


def near_the_limit(dim: int = 128) -> Tensor:
    """Symmetric, of spectral radius 0.94."""
    W = normal(dim, dim)
    W = (W + W.mT) / 2
    return 0.94 * W / torch.linalg.eigvalsh(W).abs().max()


def test_it_is_listed_with_those_that_look_at_the_batch() -> None:
    assert Chord in batch_solvers
    assert not set(batch_solvers) & set(all_solvers)


@pytest.mark.parametrize("solver", SETTINGS)
def test_affine_map_has_the_closed_form(solver: Chord) -> None:
    W, x = contraction(6, 0.8), normal(5, 6, seed=1)
    solution = fixed_point(lambda z, x: z @ W.mT + x, torch.zeros_like(x), inputs=[x], solver=solver, stopping=TIGHT)
    torch.testing.assert_close(
        solution.value, torch.linalg.solve(torch.eye(6).double() - W, x.mT).mT, rtol=1e-10, atol=1e-11
    )
    assert bool(solution.record.converged.all())


def test_an_affine_map_is_solved_in_one_step_and_polished_in_another() -> None:
    # All samples have one Jacobian. Differences of an affine map are exact but for rounding, eps over the step length
    # eps^(1/3): each step leaves about eps^(2/3) = 4e-11 of the residual.
    W, x = contraction(6, 0.8), normal(5, 6, seed=1)
    stopping = Tolerance(atol=0.0, rtol=1e-8, check_every=1)
    with torch.no_grad():
        record = fixed_point(
            lambda z, x: z @ W.mT + x, torch.zeros_like(x), inputs=[x], solver=Chord(), stopping=stopping
        ).record
    assert record.steps.tolist() == [2] * 5
    assert record.nfe.tolist() == [3] * 5  # two of the batch, and one for J


def test_a_batch_of_one_takes_its_own_jacobian() -> None:
    # z = cos z, 0.7390851332151607; from z = 1 Newton's method with a frozen slope, updated as the secant method's.
    start = torch.ones(1, 1, dtype=torch.float64)
    solution = fixed_point(lambda z: torch.cos(z), start, inputs=[], solver=Chord(), stopping=TIGHT)
    assert solution.value.item() == pytest.approx(0.7390851332151607, abs=1e-12)
    assert int(solution.record.steps) <= 8


def test_its_updates_are_broydens() -> None:
    """Without an inverse it is Broyden's method, in another form: the same iterates."""
    W, x, strength = contraction(6, 0.9), normal(8, 6, seed=1), torch.ones(8, 1, dtype=torch.float64)
    for steps in range(1, 9):
        few = Tolerance(atol=1e-300, rtol=1e-300, max_steps=steps)
        found, wanted = (solve(s, W, x, strength, named=False, stopping=few).value for s in (Chord(), Broyden()))
        torch.testing.assert_close(found, wanted, rtol=1e-9, atol=1e-11)


@pytest.mark.parametrize("delay", [0, 2])
def test_gradcheck(delay: int) -> None:
    W, x = contraction(3, 0.8).requires_grad_(), normal(4, 3, seed=1).requires_grad_()
    ones = torch.ones(4, 1, dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda W, x: solve(Chord(delay), W, x, ones).value, (W, x))


def test_near_the_stability_limit_it_is_quick_both_ways_in_float32() -> None:
    W, x, w = near_the_limit(), 0.1 * normal(64, 128, seed=1), normal(64, 128, seed=2)
    ones = torch.ones(64, 1)
    single, inputs = W.float().requires_grad_(), x.float().requires_grad_()
    solution = solve(Chord(), single, inputs, ones, stopping=Tolerance())
    found = torch.autograd.grad(solution.value, (single, inputs), w.float())
    backward = solution.record.backward
    assert backward is not None
    assert bool((solution.record.converged & backward.converged).all())
    assert int(solution.record.nfe.max()) <= 16  # plain Anderson: 36
    assert int(backward.nfe.max()) <= 16

    wide, x = W.clone().requires_grad_(), x.requires_grad_()
    exact = fixed_point(
        lambda z, x: torch.tanh(z @ wide.mT + x),
        torch.zeros_like(x),
        inputs=[x],
        stopping=Tolerance(0.0, 1e-12, 300),
        adjoint=ImplicitDense(),
    ).value
    for got, want in zip(found, torch.autograd.grad(exact, (wide, x), w), strict=True):
        assert float((got - want).norm() / want.norm()) <= 5e-5


def test_samples_with_other_jacobians_converge_too() -> None:
    """Strengths from 0 to 1, so that the Jacobian that serves is far from most samples' own."""
    W, x, strength = near_the_limit(32), normal(48, 32, seed=1), torch.linspace(0, 1, 48, dtype=torch.float64)[:, None]
    stopping = Tolerance(atol=0.0, rtol=1e-10, max_steps=100)
    whole, closed = (solve(Chord(), W, x, strength, named=named, stopping=stopping) for named in (True, False))
    assert bool(whole.record.converged.all())
    torch.testing.assert_close(whole.value, closed.value, rtol=1e-7, atol=1e-8)
    for i in (0, 20, 47):
        alone = solve(Chord(), W, x[i : i + 1], strength[i : i + 1], stopping=stopping)
        torch.testing.assert_close(alone.value[0], whole.value[i], rtol=1e-7, atol=1e-8)


@pytest.mark.parametrize("named", [True, False])
def test_samples_that_are_lost_harm_nobody(named: bool) -> None:
    W, strength = contraction(4, 0.8), torch.ones(40, 1, dtype=torch.float64)
    x = normal(40, 4, seed=1)
    clean = solve(Chord(), W, x, strength, named=named)
    broken, factor = x.clone(), strength.clone()
    broken[11, 2], broken[23, 0], factor[30] = math.nan, math.inf, math.nan
    solution = solve(Chord(), W, broken, factor, named=named)
    others = [i for i in range(40) if i not in (11, 23, 30)]
    torch.testing.assert_close(solution.value[others], clean.value[others], rtol=1e-10, atol=1e-11)
    assert bool(solution.record.converged[others].all())
    lost = [SolveStatus.DIVERGED.code, SolveStatus.DIVERGED.code]
    assert solution.record.status[[11, 30]].tolist() == lost
    assert bool(torch.isfinite(solution.value).all())


def test_a_sample_that_overflows_harms_nobody() -> None:
    c = torch.tensor([[0.1], [50.0], [-0.3], [1e200], [0.2]], dtype=torch.float64)
    value = fixed_point(
        lambda z, c: z.square() + c, torch.zeros_like(c), inputs=[c], solver=Chord(), stopping=TIGHT, policy="keep"
    ).value
    for i in (0, 2, 4):  # z = (1 - sqrt(1 - 4 c)) / 2, or the other root
        assert (value[i] ** 2 + c[i] - value[i]).abs().item() < 1e-11


def test_replicates_have_jacobians_of_their_own() -> None:
    W = torch.stack([contraction(4, 0.9), -contraction(4, 0.5)])
    x = normal(2, 40, 4, seed=2)
    strength = torch.stack([torch.linspace(0, 1, 40) ** 4, torch.linspace(0, 1, 40) ** 0.25]).double()[..., None]
    together = solve(Chord(), W, x, strength)
    assert bool(together.record.converged.all())
    for r in range(2):
        alone = solve(Chord(), W[r], x[r], strength[r])
        torch.testing.assert_close(together.value[r], alone.value, rtol=1e-10, atol=1e-11)


def test_small_batches_and_a_bare_state() -> None:
    W, x, strength = contraction(4, 0.8), normal(3, 4, seed=1), torch.ones(3, 1, dtype=torch.float64)
    whole = solve(Chord(), W, x, strength)
    assert solve(Chord(), W, x[:0], strength[:0]).value.shape == (0, 4)
    for rows in (slice(0, 1), 0):
        few = solve(Chord(), W, x[rows], strength[rows])
        torch.testing.assert_close(few.value, whole.value[rows], rtol=1e-10, atol=1e-11)


def test_a_singular_system_falls_back_on_the_identity() -> None:
    # f = z: J = I, and every point is a fixed point. f = z + 1 has none.
    found = fixed_point(lambda z: z, torch.ones(3, 2), inputs=[], solver=Chord())
    assert bool(found.record.converged.all())
    stopping = Tolerance(max_steps=5)
    none = fixed_point(lambda z: z + 1, torch.zeros(3, 2), inputs=[], solver=Chord(), policy="keep", stopping=stopping)
    assert none.record.status.tolist() == [SolveStatus.MAX_STEPS.code] * 3
    assert bool(torch.isfinite(none.value).all())


def test_products_by_hand_serve_the_backward_solve() -> None:
    W, x, w = contraction(4, 0.9), normal(20, 4, seed=1).requires_grad_(), normal(20, 4, seed=2)

    def gradient(adjoint: Implicit) -> Tensor:
        value = fixed_point(
            lambda z, x: torch.tanh(z @ W.mT + x),
            torch.zeros_like(x),
            inputs=[x],
            solver=Chord(),
            stopping=TIGHT,
            adjoint=adjoint,
        ).value
        return torch.autograd.grad(value, x, w)[0]

    by_hand = Implicit(linearise=lambda z, x: lambda u, w: w + (u * (1 - torch.tanh(z @ W.mT + x).square())) @ W)
    torch.testing.assert_close(gradient(by_hand), gradient(Implicit()), rtol=1e-9, atol=1e-10)


def test_what_was_handed_in_is_kept() -> None:
    x, z0 = normal(40, 4, seed=1), torch.zeros(40, 4, dtype=torch.float64)
    image = torch.tanh(x)
    kept = image.clone()
    fixed_point(lambda z, y: y, z0, inputs=[image], solver=Chord())  # one and the same tensor
    assert torch.equal(image, kept)
    assert not bool(z0.any())


@pytest.mark.parametrize(("settings", "message"), [({"delay": -1}, "delay=-1"), ({"memory": 0}, "memory=0")])
def test_bad_settings(settings: dict[str, int], message: str) -> None:
    with pytest.raises(ArgumentError, match=message):
        Chord(**settings)
