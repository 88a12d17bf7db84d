"""Every registered block: shapes, gradients, replicates, parameter counts, and the equation it states."""

import pytest
import torch
from torch.nn.functional import layer_norm

from metabench.blocks import BLOCKS
from metabench.blocks.lifts import MLPDEQ, MLPODE, MLPResidual, MLPTied

NAMES = BLOCKS.names()


def generators(n: int) -> list[torch.Generator]:
    return [torch.Generator().manual_seed(seed) for seed in range(n)]


def state(replicates: int = 2) -> torch.Tensor:
    return torch.randn(1, 5, 8, generator=torch.Generator().manual_seed(9)).expand(replicates, 5, 8).contiguous()


@pytest.mark.parametrize("name", NAMES)
def test_shapes_records_and_finite_gradients(name: str) -> None:
    block, h = BLOCKS.get(name)(8, generators(2)), state().requires_grad_()
    out, record = block(h)
    assert out.shape == h.shape
    assert record.nfe.shape == h.shape[:-1]
    out.square().sum().backward()
    assert h.grad is not None
    assert all(p.grad is not None and bool(torch.isfinite(p.grad).all()) for p in block.parameters())
    assert record.backward is not None
    assert record.backward.nfe.shape == h.shape[:-1]


@pytest.mark.parametrize("name", NAMES)
def test_a_replicate_does_not_depend_on_the_others(name: str) -> None:
    together, _ = BLOCKS.get(name)(8, generators(3))(state(3))
    alone, _ = BLOCKS.get(name)(8, generators(3)[1:2])(state(1))
    torch.testing.assert_close(together[1:2], alone, rtol=1e-5, atol=1e-6)


def test_blocks_of_one_cell_have_equal_parameter_counts() -> None:
    counts = {name: sum(p.numel() for p in BLOCKS.get(name)(8, generators(1)).parameters()) for name in NAMES}
    mlp = {n for name, n in counts.items() if name.startswith(("mlp", "qp"))}
    gated = {n for name, n in counts.items() if name.startswith("gated")}
    assert mlp == {8 * 8 * 2 + 8}
    assert gated == {2 * (8 * 8 * 2 + 8)}
    assert counts["skip"] == 0


def test_one_cell_four_lifts() -> None:
    h, blocks = state(1), [kind(8, generators(1)) for kind in (MLPResidual, MLPTied, MLPDEQ, MLPODE)]
    cell, x = blocks[0].cell, layer_norm(h, (8,))
    W, injection = cell.W, x @ cell.U.mT + cell.b
    residual, tied, deq, ode = (block(h)[0] for block in blocks)
    torch.testing.assert_close(residual, h + torch.tanh(x @ W.mT + injection))
    z = torch.zeros_like(h)
    for _ in range(6):
        z = torch.tanh(z @ W.mT + injection)
    torch.testing.assert_close(tied, h + z)
    for _ in range(200):
        z = torch.tanh(z @ W.mT + injection)
    torch.testing.assert_close(deq, h + z, rtol=1e-3, atol=1e-3)
    y = h
    for _ in range(1000):
        y = y + torch.tanh(y @ W.mT + injection) / 1000
    torch.testing.assert_close(ode, y, rtol=5e-3, atol=5e-3)


def test_every_block_but_skip_is_cited() -> None:
    assert all(BLOCKS.get(name).citation for name in NAMES if name != "skip")
