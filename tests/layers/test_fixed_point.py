"""Equilibria against closed forms, dense implicit gradients and finite differences."""

import pytest
import torch

from metabench.errors import ArgumentError, DifferentiationError, SolverError
from metabench.layers import Anderson, Implicit, Picard, SolveStatus, Tolerance, fixed_point
from metabench.layers.adjoint import all_adjoints
from metabench.layers.fixed_point import all_solvers

TIGHT = Tolerance(atol=1e-12, rtol=1e-12, max_steps=500)


def cell(dim: int = 6, batch: int = 5, scale: float = 0.3) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    W = scale * torch.randn(dim, dim, dtype=torch.float64, generator=generator)
    return W.requires_grad_(), torch.randn(batch, dim, dtype=torch.float64, generator=generator).requires_grad_()


@pytest.mark.parametrize("solver", [*(solver() for solver in all_solvers), Picard(damping=0.7), Anderson(mixing=0.9)])
@pytest.mark.parametrize("adjoint", all_adjoints)
def test_gradcheck(solver: Picard | Anderson, adjoint: type[Implicit]) -> None:
    W, x = cell()

    def layer(W: torch.Tensor, x: torch.Tensor) -> torch.Tensor:
        back = adjoint(solver=solver, stopping=TIGHT)
        zero = torch.zeros_like(x)
        return fixed_point(lambda z: torch.tanh(z @ W.mT + x), zero, solver=solver, stopping=TIGHT, adjoint=back).value

    assert torch.autograd.gradcheck(layer, (W, x))


@pytest.mark.parametrize("solver", [solver() for solver in all_solvers])
def test_affine_map_has_the_closed_form(solver: Picard | Anderson) -> None:
    W, x = cell(scale=0.15)
    z = fixed_point(lambda z: z @ W.mT + x, torch.zeros_like(x), solver=solver, stopping=TIGHT).value
    exact = torch.linalg.solve(torch.eye(6, dtype=torch.float64) - W, x.mT).mT
    torch.testing.assert_close(z, exact, rtol=1e-9, atol=1e-10)


def test_gradient_equals_the_dense_implicit_one() -> None:
    W, x = cell()
    z = fixed_point(lambda z: torch.tanh(z @ W.mT + x), torch.zeros_like(x), stopping=TIGHT).value
    weight = torch.linspace(-1, 1, z.numel(), dtype=torch.float64).view_as(z)
    (found,) = torch.autograd.grad((weight * z).sum(), x)
    slope = 1 - z.detach() ** 2  # tanh'
    jacobian = slope[:, :, None] * W.detach()
    exact = torch.linalg.solve((torch.eye(6, dtype=torch.float64) - jacobian).mT, weight[..., None])[..., 0] * slope
    torch.testing.assert_close(found, exact, rtol=1e-9, atol=1e-10)


@pytest.mark.parametrize("solver", [solver() for solver in all_solvers])
def test_samples_are_independent(solver: Picard | Anderson) -> None:
    W, x = cell()
    x = (x * torch.tensor([0.01, 0.1, 1.0, 3.0, 10.0])[:, None]).detach()
    stopping = Tolerance(atol=1e-8, rtol=1e-8)

    def solve(x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        solution = fixed_point(
            lambda z: torch.tanh(z @ W.mT + x), torch.zeros_like(x), solver=solver, stopping=stopping
        )
        return solution.value.detach(), solution.record.nfe

    together, nfe = solve(x)
    alone = [solve(x[i : i + 1]) for i in range(len(x))]
    torch.testing.assert_close(together, torch.cat([value for value, _ in alone]), rtol=1e-12, atol=1e-12)
    assert nfe.tolist() == [int(count) for _, count in alone]


def test_anderson_beats_picard_near_the_stability_limit() -> None:
    W = torch.randn(16, 16, generator=torch.Generator().manual_seed(0))
    W = (W + W.mT) / 2
    W *= 0.94 / torch.linalg.eigvalsh(W).abs().max()
    x = 0.1 * torch.randn(8, 16, generator=torch.Generator().manual_seed(1))
    stopping = Tolerance(atol=0, rtol=1e-5, max_steps=400)
    nfe = {}
    for solver in (Picard(), Anderson()):
        record = fixed_point(
            lambda z: torch.tanh(z @ W.mT + x), torch.zeros_like(x), solver=solver, stopping=stopping
        ).record
        assert bool(record.converged.all())
        nfe[type(solver)] = record.nfe.float().mean()
    assert nfe[Anderson] < 0.5 * nfe[Picard]


def test_a_divergent_and_a_nan_sample_do_not_harm_the_others() -> None:
    factor = torch.tensor([0.5, 2.0, float("nan")])[:, None]
    solution = fixed_point(lambda z: factor * z + 1, torch.zeros(3, 1), solver=Picard(), policy="keep")
    statuses = solution.record.status.tolist()
    assert statuses == [SolveStatus.CONVERGED.code, SolveStatus.MAX_STEPS.code, SolveStatus.DIVERGED.code]
    assert solution.value[0].item() == pytest.approx(2.0, rel=1e-4)
    assert not bool(torch.isnan(solution.value).any())


def test_policies() -> None:
    def solve(policy: str) -> torch.Tensor:
        factor = torch.tensor([0.5, 2.0])[:, None]
        return fixed_point(lambda z: factor * z + 1, torch.zeros(2, 1), solver=Picard(), policy=policy).value  # type: ignore[arg-type]

    with pytest.raises(SolverError, match="1 of 2 samples: reached the step limit"):
        solve("raise")
    assert torch.isnan(solve("nan")[:, 0]).tolist() == [False, True]
    with pytest.raises(ArgumentError, match="unknown policy"):
        solve("ignore")


def test_backward_fills_its_record_and_tiny_gradients_are_solved_too() -> None:
    W, x = cell()
    solution = fixed_point(lambda z: torch.tanh(z @ W.mT + x), torch.zeros_like(x))
    reference = torch.autograd.grad(solution.value.sum(), x)[0]
    assert solution.record.backward is not None
    assert bool(solution.record.backward.converged.all())
    solution = fixed_point(lambda z: torch.tanh(z @ W.mT + x), torch.zeros_like(x))
    small = torch.autograd.grad(1e-9 * solution.value.sum(), x)[0]
    torch.testing.assert_close(small * 1e9, reference, rtol=1e-4, atol=1e-5)


def test_second_derivative_raises_instead_of_being_wrong() -> None:
    W, x = cell()
    z = fixed_point(lambda z: torch.tanh(z @ W.mT + x), torch.zeros_like(x)).value
    with pytest.raises(DifferentiationError, match="second derivative"):
        torch.autograd.grad(z.sum(), x, create_graph=True)


def test_bad_input() -> None:
    with pytest.raises(ArgumentError, match=r"f returned \(2, 4\)"):
        fixed_point(lambda z: torch.zeros(2, 4), torch.zeros(2, 3))
    with pytest.raises(ArgumentError, match="floating point"):
        fixed_point(lambda z: z, torch.zeros(2, 3, dtype=torch.int64))
    with pytest.raises(ArgumentError, match="damping"):
        Picard(damping=0.0)
    with pytest.raises(ArgumentError, match="memory"):
        Anderson(memory=1)
    with pytest.raises(ArgumentError, match="atol"):
        Tolerance(atol=0, rtol=0)
    assert fixed_point(lambda z: 0.5 * z, torch.zeros(0, 3)).value.shape == (0, 3)
