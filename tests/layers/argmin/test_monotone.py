"""The monotone equilibrium: unique whatever its parameters are."""

from typing import Any, get_args

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers import Picard, Tolerance, fixed_point
from metabench.layers.argmin.inclusion import Splitting
from metabench.layers.argmin.monotone import monotone_equilibrium, monotone_weight

TIGHT = Tolerance(atol=1e-12, rtol=1e-12, max_steps=5000)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


@given(st.integers(0, 10_000), st.floats(0.01, 1.0), st.floats(0.1, 5.0))
def test_i_minus_w_is_strongly_monotone(seed: int, modulus: float, size: float) -> None:
    W = monotone_weight(size * normal(3, 5, seed=seed), size * normal(5, 5, seed=seed + 1), modulus)
    symmetric = torch.eye(5, dtype=torch.float64) - (W + W.mT) / 2
    assert float(torch.linalg.eigvalsh(symmetric).min()) >= modulus - 1e-9


@pytest.mark.parametrize("splitting", get_args(Splitting))
def test_it_is_the_equilibrium_where_plain_iteration_diverges(splitting: Any) -> None:
    A, B, x = 0.9 * normal(4, 4), 0.5 * normal(4, 4, seed=1), normal(6, 4, seed=2)
    W = monotone_weight(A, B, 0.5)
    solution = monotone_equilibrium(A, B, x, splitting=splitting, stopping=TIGHT)
    assert bool(solution.record.converged.all())
    torch.testing.assert_close(solution.value, (solution.value @ W.mT + x).relu(), rtol=1e-9, atol=1e-9)
    plain = fixed_point(
        lambda z: (z @ W.mT + x).relu(), torch.zeros_like(x), solver=Picard(), stopping=TIGHT, policy="keep"
    )
    assert not bool(plain.record.converged.all())


@pytest.mark.parametrize("splitting", get_args(Splitting))
def test_gradient_to_all_three(splitting: Any) -> None:
    inputs = [t.requires_grad_() for t in (0.7 * normal(2, 3), 0.7 * normal(3, 3, seed=1), normal(4, 3, seed=5))]

    def layer(A: Tensor, B: Tensor, x: Tensor) -> Tensor:
        return monotone_equilibrium(A, B, x, splitting=splitting, stopping=TIGHT).value

    assert torch.autograd.gradcheck(layer, inputs)


def test_bad_input() -> None:
    with pytest.raises(ArgumentError, match=r"A has shape \(2, 3\) and B \(4, 4\)"):
        monotone_weight(torch.zeros(2, 3), torch.zeros(4, 4), 0.5)
    with pytest.raises(ArgumentError, match="modulus=0"):
        monotone_equilibrium(torch.zeros(3, 3), torch.zeros(3, 3), torch.zeros(2, 3), modulus=0.0)
