"""Penalties against what linear maps and fields give by hand; zero channels against a rotation."""

import math

import pytest
import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers import RungeKutta4, fixed_point, ode_solve
from metabench.layers.extras import (
    accumulate,
    append_zeros,
    drop_channels,
    jacobian_energy,
    jacobian_norm,
    kinetic_energy,
    random_end_time,
    solve_with_integrals,
)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


W = 0.4 * normal(4, 4, seed=1)


def test_jacobian_norm_of_a_linear_map_is_its_frobenius_norm() -> None:
    n, dim = 20000, 4
    draws = jacobian_norm(lambda z: z @ W.mT, torch.zeros(n, dim, dtype=torch.float64), generator(2))
    exact = W.square().sum() / dim
    deviation = (2 * (W @ W.mT).square().sum()).sqrt() / dim  # of eps^T (W W^T) eps, Gaussian eps
    assert abs(draws.mean() - exact) < 4 * deviation / n**0.5
    assert float(draws.std() / deviation) == pytest.approx(1.0, abs=0.05)


def test_jacobian_norm_of_a_scaled_identity_by_hand() -> None:
    # J = 3 I: each draw is 9 |eps|^2 / dim.
    eps = torch.randn(1, 2, 5, generator=generator(4), dtype=torch.float64)[0]
    found = jacobian_norm(lambda z: 3 * z, normal(2, 5), generator(4))
    torch.testing.assert_close(found, 9 * eps.square().mean(-1))


def test_jacobian_norm_gradcheck_through_the_equilibrium() -> None:
    x = normal(2, 4)

    def penalty(A: Tensor) -> Tensor:
        def f(z: Tensor) -> Tensor:
            return torch.tanh(z @ A.mT + x)

        z = torch.zeros_like(x)
        for _ in range(60):
            z = f(z)
        return jacobian_norm(f, z, generator(3), samples=2)

    assert torch.autograd.gradcheck(penalty, (W.clone().requires_grad_(),), atol=1e-6)


def test_jacobian_norm_trains_with_the_implicit_layer() -> None:
    A, x = W.clone().requires_grad_(), normal(2, 4)
    z = fixed_point(lambda z: torch.tanh(z @ A.mT + x), torch.zeros_like(x)).value
    penalty = jacobian_norm(lambda z: torch.tanh(z @ A.mT + x), z, generator(3)).sum()
    (gradient,) = torch.autograd.grad(penalty, A)
    assert bool(torch.isfinite(gradient).all())
    assert float(gradient.abs().max()) > 1e-3


def test_kinetic_energy_of_linear_decay_by_hand() -> None:
    # z = z0 e^-t: integral of |z|^2 / dim over [0, 1] = |z0|^2 / dim (1 - e^-2) / 2.
    z0 = normal(3, 4)
    solution, energies = solve_with_integrals(lambda t, z: -z, z0, [kinetic_energy], solver=RungeKutta4(40))
    torch.testing.assert_close(solution.value, z0 * math.exp(-1), rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(energies[..., 0], z0.square().mean(-1) * (1 - math.exp(-2)) / 2, rtol=1e-6, atol=1e-8)
    assert solution.record.nfe.shape == (3,)


def test_kinetic_energy_of_a_straight_path_is_its_squared_length() -> None:
    shift = normal(3, 4)
    _, energies = solve_with_integrals(lambda t, z: shift.expand_as(z), normal(3, 4, seed=5), [kinetic_energy])
    torch.testing.assert_close(energies[..., 0], shift.square().mean(-1))


def test_jacobian_energy_of_a_linear_field() -> None:
    z0 = torch.zeros(5000, 4, dtype=torch.float64)
    draws = jacobian_energy(z0, generator(2))
    _, energies = solve_with_integrals(lambda t, z: z @ W.mT, z0, [draws], t1=2.0, solver=RungeKutta4(1))
    deviation = 2.0 * (2 * (W @ W.mT).square().sum()).sqrt() / 4
    assert abs(energies.mean() - 2.0 * W.square().sum() / 4) < 4 * deviation / 5000**0.5


def test_energies_gradcheck_and_the_state_is_the_plain_solve() -> None:
    z0 = normal(2, 4).requires_grad_()
    weight = W.clone().requires_grad_()
    solver = RungeKutta4(2)

    def energies(A: Tensor, z0: Tensor) -> tuple[Tensor, Tensor]:
        integrands = [kinetic_energy, jacobian_energy(z0, generator(), samples=2)]
        solution, values = solve_with_integrals(
            lambda t, z: torch.tanh(z @ A.mT) * (1 + t), z0, integrands, solver=solver
        )
        return solution.value, values

    assert torch.autograd.gradcheck(energies, (weight, z0))
    plain = ode_solve(lambda t, z: torch.tanh(z @ W.mT) * (1 + t), z0, solver=solver).value
    torch.testing.assert_close(energies(W, z0)[0], plain, rtol=1e-14, atol=1e-14)


def test_integrals_of_a_nan_sample_do_not_harm_the_others() -> None:
    z0 = normal(3, 4)

    def run(z0: Tensor) -> Tensor:
        return solve_with_integrals(lambda t, z: torch.sin(z), z0, [kinetic_energy], policy="keep")[1]

    clean = run(z0)
    z0[1] = float("nan")
    torch.testing.assert_close(run(z0)[[0, 2]], clean[[0, 2]])
    assert run(z0[:0]).shape == (0, 1)


def test_random_end_time_is_uniform() -> None:
    source = generator(1)
    draws = torch.tensor([random_end_time(1.0, 0.5, source) for _ in range(4000)])
    assert bool(((draws > 0.5) & (draws < 1.5)).all())
    assert abs(draws.mean() - 1) < 4 * (0.5 / 3**0.5) / 4000**0.5
    assert float(draws.var()) == pytest.approx(0.25 / 3, rel=0.06)
    assert random_end_time(1.0, 0.5, generator(7)) == random_end_time(1.0, 0.5, generator(7))
    assert random_end_time(2.0, 0.0, source) == 2.0


def test_zero_channels_let_a_flow_cross() -> None:
    # In one dimension paths cannot cross, so no flow maps z to -z; half a turn in the plane does.
    turn = math.pi * torch.tensor([[0.0, 1.0], [-1.0, 0.0]], dtype=torch.float64)
    z = torch.tensor([[-2.0], [-1.0], [0.0], [1.0]], dtype=torch.float64)
    end = ode_solve(lambda t, y: y @ turn, append_zeros(z, 1), solver=RungeKutta4(100)).value
    torch.testing.assert_close(drop_channels(end, 1), -z, rtol=1e-6, atol=1e-6)


def test_zero_channels_are_appended_and_dropped() -> None:
    z = normal(2, 3).requires_grad_()
    wide = append_zeros(z, 2)
    torch.testing.assert_close(wide, torch.cat([z, torch.zeros(2, 2, dtype=z.dtype)], dim=-1))
    torch.testing.assert_close(drop_channels(wide, 2), z)
    assert append_zeros(z, 0).shape == z.shape
    assert torch.autograd.gradcheck(lambda z: append_zeros(z, 2).sin(), (z,))


def test_bad_input() -> None:
    z = normal(2, 3)
    with pytest.raises(ArgumentError, match="channels=-1"):
        append_zeros(z, -1)
    with pytest.raises(ArgumentError, match="fewer than all"):
        drop_channels(z, 3)
    with pytest.raises(ArgumentError, match="no integrands"):
        accumulate(lambda t, z: z, [])
    with pytest.raises(ArgumentError, match=r"width=1\.0"):
        random_end_time(1.0, 1.0, generator())
    with pytest.raises(ArgumentError, match=r"width=-0\.1"):
        random_end_time(1.0, -0.1, generator())
    with pytest.raises(ArgumentError, match="samples=0"):
        jacobian_norm(torch.sin, z, generator(), samples=0)
    with pytest.raises(ArgumentError, match="samples=0"):
        jacobian_energy(z, generator(), samples=0)
