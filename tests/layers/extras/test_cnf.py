"""Flows: linear fields against the Gaussian they give, densities that integrate to one, and the way back."""

import pytest
import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers import RungeKutta4
from metabench.layers.extras import ContinuousFlow


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


def curved(t: float | Tensor, z: Tensor) -> Tensor:
    return torch.sin(2 * z.flip(-1)) + 0.3 * z * t


@pytest.mark.parametrize("trace", ["exact", "hutchinson"])
def test_linear_field_gives_the_closed_form_gaussian(trace: str) -> None:
    # z' = A z + b: the law of z(1) is normal with mean int_0^1 e^(sA) b ds and covariance e^A e^A^T.
    A, b, x = 0.5 * normal(2, 2), normal(2, seed=1), normal(4000, 2, seed=2)
    if trace == "exact":
        x = x[:20]
    flow = ContinuousFlow(lambda t, z: z @ A.mT + b, 2, solver=RungeKutta4(20), trace=trace)  # type: ignore[arg-type]
    exponential = torch.linalg.matrix_exp(A)
    mean = torch.linalg.solve(A, exponential @ b - b)
    exact = torch.distributions.MultivariateNormal(mean, exponential @ exponential.mT).log_prob(x)
    with torch.no_grad():
        found = flow.log_prob(x, generator(3))
    if trace == "exact":
        torch.testing.assert_close(found, exact, rtol=1e-6, atol=1e-6)
    else:  # signs leave the off-diagonal part: -(A_01 + A_10) u_0 u_1
        error = found - exact
        deviation = (A[0, 1] + A[1, 0]).abs()
        torch.testing.assert_close(error.abs(), deviation.expand_as(error), rtol=1e-5, atol=1e-5)
        assert abs(error.mean()) < 4 * deviation / len(x) ** 0.5


@pytest.mark.parametrize("dim", [1, 2])
def test_density_integrates_to_one(dim: int) -> None:
    flow = ContinuousFlow(curved, dim, solver=RungeKutta4(10))
    axis = torch.linspace(-7, 7, 281 if dim == 1 else 141, dtype=torch.float64)
    grid = torch.cartesian_prod(*[axis] * dim).view(-1, dim)
    with torch.no_grad():
        mass = flow.log_prob(grid).exp().sum() * (axis[1] - axis[0]) ** dim
    assert float(mass) == pytest.approx(1.0, abs=1e-3)


def test_normalize_inverts_generate_and_the_determinant_is_the_jacobians() -> None:
    flow = ContinuousFlow(curved, 2, solver=RungeKutta4(60))
    z = normal(5, 2)
    x = flow.generate(z).value
    solution, log_determinant = flow.normalize(x)
    log_determinant = log_determinant.detach()
    torch.testing.assert_close(solution.value, z, rtol=1e-6, atol=1e-6)
    for i in range(5):
        jacobian = torch.autograd.functional.jacobian(lambda x: flow.normalize(x)[0].value, x[i])
        assert float(torch.linalg.slogdet(jacobian).logabsdet) == pytest.approx(float(log_determinant[i]), abs=1e-5)


def test_samples_follow_the_density_and_the_generator() -> None:
    flow = ContinuousFlow(lambda t, z: torch.full_like(z, 2.0) - 0.5 * z, 1, solver=RungeKutta4(10))
    x = flow.sample(4000, generator(1), dtype=torch.float64)
    mean, deviation = 4 * (1 - torch.tensor(-0.5).exp()), torch.tensor(-0.5).exp()  # of the linear field, by hand
    assert abs(x.mean() - mean) < 4 * deviation / 4000**0.5
    assert float(x.std() / deviation) == pytest.approx(1.0, abs=0.05)
    assert torch.equal(x, flow.sample(4000, generator(1), dtype=torch.float64))
    assert flow.sample(0, generator()).shape == (0, 1)


def test_gradcheck_of_the_likelihood() -> None:
    A, x = (0.5 * normal(2, 2)).requires_grad_(), normal(3, 2, seed=1).requires_grad_()
    for trace in ("exact", "hutchinson"):
        assert torch.autograd.gradcheck(
            lambda A, x, trace=trace: ContinuousFlow(
                lambda t, z: torch.tanh(z @ A.mT), 2, solver=RungeKutta4(2), trace=trace
            ).log_prob(x, generator()),
            (A, x),
        )


def test_bad_input() -> None:
    flow = ContinuousFlow(curved, 2, trace="hutchinson")
    with pytest.raises(ArgumentError, match="pass generator"):
        flow.log_prob(torch.zeros(1, 2))
    with pytest.raises(ArgumentError, match=r"expected \(\.\.\., 2\)"):
        flow.log_prob(torch.zeros(1, 3), generator())
    with pytest.raises(ArgumentError, match="n=-1"):
        flow.sample(-1, generator())
    with pytest.raises(ArgumentError, match="dim=0"):
        ContinuousFlow(curved, 0)
    with pytest.raises(ArgumentError, match="unknown trace 'full'"):
        ContinuousFlow(curved, 2, trace="full")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match="two different times"):
        ContinuousFlow(curved, 2, t0=1.0)
