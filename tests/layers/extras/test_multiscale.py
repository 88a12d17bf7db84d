"""Multi-scale equilibria against a dense linear solve, finite differences and a lone small scale."""

import pytest
import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers import Picard, Tolerance
from metabench.layers.extras import multiscale_fixed_point

TIGHT = Tolerance(atol=1e-13, rtol=1e-13, max_steps=500)


def normal(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))


DIMS = (6, 3, 1)
WEIGHTS = [0.2 * normal(d, d, seed=d) for d in DIMS]
INPUTS = [normal(2, d, seed=10 + d) for d in DIMS]
BLOCKS = [[0.15 * normal(i, j, seed=100 + 10 * i + j) for j in DIMS] for i in DIMS]  # mixing, from scale j to scale i


def mix(zs: list[Tensor]) -> list[Tensor]:
    return [
        z + sum(other @ BLOCKS[i][j].mT for j, other in enumerate(zs) if j != i) + INPUTS[i] for i, z in enumerate(zs)
    ]


def test_linear_scales_equal_a_dense_solve() -> None:
    solution = multiscale_fixed_point(
        [lambda z, W=W: z @ W.mT for W in WEIGHTS], [torch.zeros_like(x) for x in INPUTS], mix, stopping=TIGHT
    )
    mixing = torch.cat(
        [
            torch.cat([torch.eye(DIMS[i], dtype=torch.float64) if i == j else BLOCKS[i][j] for j in range(3)], dim=1)
            for i in range(3)
        ]
    )
    matrix = mixing @ torch.block_diag(*WEIGHTS)
    exact = torch.linalg.solve(torch.eye(10, dtype=torch.float64) - matrix, torch.cat(INPUTS, dim=-1).mT).mT
    torch.testing.assert_close(torch.cat(solution.values, dim=-1), exact, rtol=1e-10, atol=1e-11)
    assert bool(solution.record.converged.all())
    assert solution.record.nfe.shape == (2,)


def test_gradcheck() -> None:
    def layer(A: Tensor, B: Tensor, x: Tensor) -> tuple[Tensor, ...]:
        return multiscale_fixed_point(
            [lambda z: torch.tanh(z @ A.mT), lambda z: torch.tanh(z @ B.mT)],
            [torch.zeros(2, 3, dtype=torch.float64), torch.zeros(2, 2, dtype=torch.float64)],
            lambda zs: [zs[0] + x, zs[1] + 0.3 * zs[0][..., :2]],
            stopping=TIGHT,
        ).values

    inputs = (0.3 * normal(3, 3, seed=1), 0.3 * normal(2, 2, seed=2), normal(2, 3, seed=3))
    assert torch.autograd.gradcheck(layer, tuple(x.requires_grad_() for x in inputs))


def test_without_mixing_each_scale_is_its_own_equilibrium() -> None:
    values = multiscale_fixed_point(
        [lambda z: 0.5 * z + 1, lambda z: 0.25 * z + 3], [torch.zeros(2, 4), torch.zeros(2, 1)]
    ).values
    torch.testing.assert_close(values[0], torch.full((2, 4), 2.0), rtol=1e-4, atol=1e-4)
    torch.testing.assert_close(values[1], torch.full((2, 1), 4.0), rtol=1e-4, atol=1e-4)


def test_a_small_slow_scale_meets_its_own_tolerance() -> None:
    # 255 coordinates that are done at once would hide one slow coordinate in a plain root-mean-square.
    stopping = Tolerance(atol=0, rtol=1e-4, max_steps=500)
    values = multiscale_fixed_point(
        [lambda z: torch.ones_like(z), lambda z: 0.9 * z + 0.1],
        [torch.zeros(1, 255, dtype=torch.float64), torch.zeros(1, 1, dtype=torch.float64)],
        solver=Picard(),
        stopping=stopping,
    ).values
    residual = abs(0.1 - 0.1 * values[1].item())
    assert residual <= 2**0.5 * 1e-4


def test_a_nan_sample_does_not_harm_the_others_and_empty_batches_work() -> None:
    offset = torch.tensor([[1.0], [float("nan")]])
    solution = multiscale_fixed_point(
        [lambda z: 0.5 * z + offset[: len(z)], lambda z: 0.5 * z],
        [torch.zeros(2, 2), torch.zeros(2, 1)],
        policy="keep",
    )
    assert solution.record.converged.tolist() == [True, False]
    torch.testing.assert_close(solution.values[0][0], torch.full((2,), 2.0), rtol=1e-4, atol=1e-4)
    empty = multiscale_fixed_point([lambda z: 0.5 * z], [torch.zeros(0, 2)])
    assert empty.values[0].shape == (0, 2)


def test_bad_input() -> None:
    z = torch.zeros(2, 3)
    with pytest.raises(ArgumentError, match="1 maps and 2 initial iterates"):
        multiscale_fixed_point([torch.tanh], [z, z])
    with pytest.raises(ArgumentError, match="equal sample axes"):
        multiscale_fixed_point([torch.tanh, torch.tanh], [z, torch.zeros(3, 3)])
    with pytest.raises(ArgumentError, match=r"\(2, 3\), \(2, 1\); expected \(2, 3\), \(2, 2\)"):
        multiscale_fixed_point([torch.tanh, lambda z: z[..., :1]], [z, torch.zeros(2, 2)])
    with pytest.raises(ArgumentError, match="0 maps"):
        multiscale_fixed_point([], [])
