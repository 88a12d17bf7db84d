"""Traces against the dense Jacobian, and Hutchinson's estimator against its known variance."""

import pytest
import torch
from torch import Tensor

from metabench.errors import ArgumentError, DifferentiationError
from metabench.layers.extras import exact_trace, hutchinson_trace


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=generator(seed))


W = 0.5 * normal(4, 4, seed=1)


def tanh(z: Tensor) -> Tensor:
    return torch.tanh(z @ W.mT)


def test_exact_trace_equals_the_dense_jacobians() -> None:
    z = normal(2, 3, 4)
    dense = torch.stack([torch.autograd.functional.jacobian(tanh, row).trace() for row in z.view(6, 4)]).view(2, 3)
    torch.testing.assert_close(exact_trace(tanh, z), dense, rtol=1e-13, atol=1e-13)


@pytest.mark.parametrize("noise", ["rademacher", "gaussian"])
def test_hutchinson_is_unbiased_with_the_known_variance(noise: str) -> None:
    n, symmetric = 20000, (W + W.mT) / 2
    draws = hutchinson_trace(lambda z: z @ W.mT, torch.zeros(n, 4, dtype=torch.float64), generator(2), noise=noise)  # type: ignore[arg-type]
    variance = 2 * symmetric.square().sum()
    if noise == "rademacher":
        variance = variance - 2 * symmetric.diagonal().square().sum()
    assert abs(draws.mean() - W.trace()) < 4 * (variance / n).sqrt()
    assert float(draws.var() / variance) == pytest.approx(1.0, abs=0.08)


def test_signs_are_exact_on_a_diagonal_jacobian() -> None:
    z = normal(5, 3)
    torch.testing.assert_close(hutchinson_trace(torch.sin, z, generator()), z.cos().sum(-1))


def test_more_samples_average() -> None:
    z = torch.zeros(4000, 4, dtype=torch.float64)
    one, nine = (hutchinson_trace(lambda z: z @ W.mT, z, generator(3), samples=k).var() for k in (1, 9))
    assert float(one / nine) == pytest.approx(9.0, rel=0.15)


@pytest.mark.parametrize("trace", [exact_trace, lambda f, z: hutchinson_trace(f, z, generator(), samples=2)])
def test_gradcheck_to_state_and_weights(trace) -> None:  # type: ignore[no-untyped-def]
    weight, z = W.clone().requires_grad_(), normal(3, 4).requires_grad_()
    assert torch.autograd.gradcheck(lambda A, z: trace(lambda y: torch.tanh(y @ A.mT), z), (weight, z))


def test_what_the_map_closes_over_is_held_fixed() -> None:
    z = normal(3, 4).requires_grad_()
    injected = 7 * z  # depends on z, but is no part of df/dz
    torch.testing.assert_close(exact_trace(lambda y: 2 * y + injected, z), torch.full((3,), 8.0, dtype=torch.float64))


def test_works_without_recording_and_on_constants() -> None:
    with torch.no_grad():
        value = exact_trace(tanh, normal(3, 4))
    assert not value.requires_grad
    torch.testing.assert_close(value, exact_trace(tanh, normal(3, 4)))
    constant = exact_trace(lambda z: torch.ones(3, 4, dtype=torch.float64), normal(3, 4))
    assert constant.tolist() == [0.0, 0.0, 0.0]


def test_a_nan_sample_does_not_harm_the_others_and_empty_batches_work() -> None:
    z = normal(3, 4)
    clean = exact_trace(tanh, z)
    z[1] = float("nan")
    torch.testing.assert_close(exact_trace(tanh, z)[[0, 2]], clean[[0, 2]])
    assert hutchinson_trace(tanh, z[:0], generator()).shape == (0,)


def test_bad_input() -> None:
    z = normal(3, 4)
    with pytest.raises(ArgumentError, match="samples=0"):
        hutchinson_trace(tanh, z, generator(), samples=0)
    with pytest.raises(ArgumentError, match="unknown noise 'uniform'"):
        hutchinson_trace(tanh, z, generator(), noise="uniform")  # type: ignore[arg-type]
    with pytest.raises(ArgumentError, match=r"f returned \(3, 2\)"):
        exact_trace(lambda z: z[..., :2], z)
    with pytest.raises(DifferentiationError, match=r"torch\.func"):
        torch.func.vmap(lambda row: exact_trace(tanh, row))(z)
