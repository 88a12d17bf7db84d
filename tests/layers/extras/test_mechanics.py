"""Hamiltonian and Lagrangian fields: closed forms, each other, and energies that stay."""

import pytest
import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers import RungeKutta4, ode_solve
from metabench.layers.extras import hamiltonian_field, lagrangian_field


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


def pendulum_energy(q: Tensor, p: Tensor) -> Tensor:
    return (0.5 * p.square() - q.cos()).sum(-1)


def pendulum_lagrangian(q: Tensor, v: Tensor) -> Tensor:
    return (0.5 * v.square() + q.cos()).sum(-1)


START = torch.tensor([[1.0, 0.0], [2.5, 0.3], [0.1, -0.2]], dtype=torch.float64)


@pytest.mark.parametrize("field", [hamiltonian_field(pendulum_energy), lagrangian_field(pendulum_lagrangian)])
def test_pendulum_has_the_closed_form_and_keeps_its_energy(field) -> None:  # type: ignore[no-untyped-def]
    q, p = START.chunk(2, dim=-1)
    torch.testing.assert_close(field(0.0, START), torch.cat([p, -q.sin()], dim=-1), rtol=1e-14, atol=1e-14)
    with torch.no_grad():
        end = ode_solve(field, START, t1=30.0, solver=RungeKutta4(600)).value  # over three periods of each
    torch.testing.assert_close(pendulum_energy(*end.chunk(2, dim=-1)), pendulum_energy(q, p), rtol=1e-5, atol=1e-5)
    assert float((end - START).abs().min()) > 1e-3  # it has moved


def test_double_pendulum_has_the_textbook_accelerations() -> None:
    # Unit masses and lengths; L = v1^2 + v2^2 / 2 + v1 v2 cos(q1 - q2) + g (2 cos q1 + cos q2). The accelerations are
    # the usual ones, obtained by hand from the two Euler-Lagrange equations.
    g, state = 9.81, normal(6, 4)

    def lagrangian(q: Tensor, v: Tensor) -> Tensor:
        (q1, q2), (v1, v2) = q.unbind(-1), v.unbind(-1)
        return v1**2 + 0.5 * v2**2 + v1 * v2 * (q1 - q2).cos() + g * (2 * q1.cos() + q2.cos())

    q1, q2, v1, v2 = state.unbind(-1)
    difference = q1 - q2
    denominator = 3 - (2 * difference).cos()
    a1 = (
        -3 * g * q1.sin() - g * (q1 - 2 * q2).sin() - 2 * difference.sin() * (v2**2 + v1**2 * difference.cos())
    ) / denominator
    a2 = (2 * difference.sin() * (2 * v1**2 + 2 * g * q1.cos() + v2**2 * difference.cos())) / denominator
    exact = torch.stack([v1, v2, a1, a2], dim=-1)
    torch.testing.assert_close(lagrangian_field(lagrangian)(0.0, state), exact, rtol=1e-12, atol=1e-12)


def test_both_fields_agree_in_polar_coordinates() -> None:
    # A free particle: L = (r'^2 + r^2 a'^2) / 2, H = (p_r^2 + p_a^2 / r^2) / 2, p = (r', r^2 a').
    q = torch.tensor([[1.5, 0.2], [0.8, -1.0]], dtype=torch.float64)
    v = normal(2, 2, seed=3)
    r = q[:, :1]
    scale = torch.cat([torch.ones_like(r), r**2], dim=-1)
    by_l = lagrangian_field(lambda q, v: 0.5 * (v[..., 0] ** 2 + q[..., 0] ** 2 * v[..., 1] ** 2))
    by_h = hamiltonian_field(lambda q, p: 0.5 * (p[..., 0] ** 2 + p[..., 1] ** 2 / q[..., 0] ** 2))
    solver = RungeKutta4(100)
    end_l = ode_solve(by_l, torch.cat([q, v], dim=-1), solver=solver).value
    end_h = ode_solve(by_h, torch.cat([q, scale * v], dim=-1), solver=solver).value
    torch.testing.assert_close(end_l[..., :2], end_h[..., :2], rtol=1e-6, atol=1e-6)
    x, y = (q[:, 0] * q[:, 1].cos(), q[:, 0] * q[:, 1].sin())
    dx = v[:, 0] * q[:, 1].cos() - q[:, 0] * q[:, 1].sin() * v[:, 1]
    dy = v[:, 0] * q[:, 1].sin() + q[:, 0] * q[:, 1].cos() * v[:, 1]
    radius = torch.hypot(x + dx, y + dy)  # a straight line, after one unit of time
    torch.testing.assert_close(end_l[:, 0], radius, rtol=1e-6, atol=1e-6)


def test_gradcheck_through_the_fields() -> None:
    A, state = normal(2, 2, seed=1).requires_grad_(), normal(3, 4, seed=2).requires_grad_()

    def energy(A: Tensor, q: Tensor, p: Tensor) -> Tensor:
        return (torch.tanh(q @ A) * p).sum(-1) + p.square().sum(-1)

    def lagrangian(A: Tensor, q: Tensor, v: Tensor) -> Tensor:
        return v.square().sum(-1) + 0.1 * (torch.tanh(q @ A) * v).square().sum(-1) - (q @ A).sin().sum(-1)

    assert torch.autograd.gradcheck(lambda A, s: hamiltonian_field(lambda q, p: energy(A, q, p))(0.0, s), (A, state))
    assert torch.autograd.gradcheck(lambda A, s: lagrangian_field(lambda q, v: lagrangian(A, q, v))(0.0, s), (A, state))


def test_fields_record_nothing_when_told_not_to() -> None:
    for field in (hamiltonian_field(pendulum_energy), lagrangian_field(pendulum_lagrangian)):
        with torch.no_grad():
            assert not field(0.0, START).requires_grad
        assert field(0.0, START[:0]).shape == (0, 2)


def test_a_singular_or_nan_sample_does_not_harm_the_others() -> None:
    field = lagrangian_field(lambda q, v: (0.5 * q * v.square() + v * q).sum(-1))  # mass q: singular at q = 0
    slope = field(0.0, torch.tensor([[1.0, 2.0], [0.0, 2.0], [float("nan"), 1.0]]))
    torch.testing.assert_close(slope[0], torch.tensor([2.0, -2.0]))  # q a + v^2 / 2 = 0, by hand
    assert not bool(torch.isfinite(slope[1:, 1]).any())


def test_bad_input() -> None:
    with pytest.raises(ArgumentError, match=r"state of shape \(2, 3\)"):
        hamiltonian_field(pendulum_energy)(0.0, torch.zeros(2, 3))
    with pytest.raises(ArgumentError, match=r"H returned \(2, 1\)"):
        hamiltonian_field(lambda q, p: q * p)(0.0, torch.zeros(2, 2))
    with pytest.raises(ArgumentError, match=r"L returned \(2, 1\)"):
        lagrangian_field(lambda q, v: q * v)(0.0, torch.zeros(2, 2))
    with pytest.raises(ArgumentError, match="linear in q and v"):
        lagrangian_field(lambda q, v: (q + v).sum(-1))(0.0, torch.zeros(2, 2))
