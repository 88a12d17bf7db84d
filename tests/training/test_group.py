"""Architectures trained in one batch get what each gets alone."""

from dataclasses import replace
from itertools import product

import numpy as np
import pytest
import torch

from metabench.datasets import Splits, load_splits, load_task
from metabench.layers import SolveRecord
from metabench.spaces import Architecture
from metabench.spaces.group import NetworkGroup
from metabench.spaces.network import Network
from metabench.training import METRICS, train, train_group
from metabench.training.clipping import clip_replicates
from metabench.training.tape import losses_and_gradients

MEMBERS = [Architecture(blocks) for blocks in product(("mlp.tied", "qp.box"), ("gated.deq", "mlp.ode"))]
DEVICES = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
UNEVEN = [Architecture(()), Architecture(("mlp.deq",)), *MEMBERS]


def small(seed: int = 0) -> tuple:
    task = load_task("mnist1d-v1")
    protocol = replace(task.protocol, epochs=2, checkpoints=(1, 2), batch_size=64)
    whole = load_splits(task)
    cut = Splits(*(getattr(whole, f"{part}_{axis}")[:256] for part in ("train", "val", "test") for axis in "xy"), 10)
    return replace(task, protocol=protocol), cut


@pytest.mark.parametrize("device", DEVICES)
def test_a_group_gives_what_its_members_give_alone(device: str) -> None:
    task, splits = small()
    together = train_group(UNEVEN, task, splits, 8, [0, 2], device)
    exact = [METRICS.index(name) for name in ("train_loss", "nfe_forward", "nfe_backward", "residual")]
    scores = [METRICS.index(name) for name in ("val_score", "test_score")]
    for architecture, curve in zip(UNEVEN, together, strict=True):
        alone = train(architecture, task, splits, 8, [0, 2])
        np.testing.assert_allclose(curve.values[..., exact], alone.values[..., exact], rtol=1e-2, atol=1e-6)
        np.testing.assert_allclose(curve.values[..., scores], alone.values[..., scores], atol=2 / 256)


def test_block_by_block_gradients_are_the_chain_rule() -> None:
    x = torch.randn(2, 16, 5, generator=torch.Generator().manual_seed(0))
    y = torch.arange(32).view(2, 16) % 3
    group = NetworkGroup(UNEVEN, 5, 3, 8, [0, 1])
    losses, calls = losses_and_gradients(group, x, y)
    assert sorted(call.part.name for call in calls) == ["gated.deq", "mlp.deq", "mlp.ode", "mlp.tied", "qp.box"]
    for i, architecture in enumerate(UNEVEN):
        network, mine = Network(architecture, 5, 3, 8, [0, 1]), slice(2 * i, 2 * i + 2)
        logits, records = network(x)
        loss = torch.nn.functional.cross_entropy(logits.mT, y, reduction="none").mean(-1)
        loss.sum().backward()
        torch.testing.assert_close(losses[mine], loss.detach(), rtol=1e-5, atol=1e-6)
        assert group.stem_weight.grad is not None
        torch.testing.assert_close(group.stem_weight.grad[mine], network.stem_weight.grad, rtol=1e-3, atol=1e-5)
        assert all(isinstance(record, SolveRecord) for record in records)
        for stage, block in enumerate(network.blocks):
            (part,) = (p for p in group.stages[stage] if 2 * i in p.rows.tolist())
            rows = [part.rows.tolist().index(2 * i + j) for j in range(2)]
            for ours, theirs in zip(part.block.parameters(), block.parameters(), strict=True):
                assert ours.grad is not None
                torch.testing.assert_close(ours.grad[rows], theirs.grad, rtol=1e-3, atol=1e-5)


def test_time_is_shared_by_function_evaluations() -> None:
    task, splits = small()
    curves = train_group([Architecture(("mlp.tied",)), Architecture(("mlp.tied", "mlp.ode"))], task, splits, 8, [0, 1])
    assert all((np.diff(curve.seconds, axis=1) > 0).all() for curve in curves)
    assert curves[1].seconds[:, -1].min() > curves[0].seconds[:, -1].max()


def test_clipping_is_by_replicate_over_all_parameters() -> None:
    first, second = (torch.zeros(2, 2, requires_grad=True) for _ in range(2))
    first.grad = torch.tensor([[3.0, 0.0], [0.3, 0.0]])
    second.grad = torch.tensor([[0.0, 4.0], [0.0, 0.4]])
    clip_replicates([first, second], 1.0)
    torch.testing.assert_close(first.grad, torch.tensor([[0.6, 0.0], [0.3, 0.0]]))
    torch.testing.assert_close(second.grad, torch.tensor([[0.0, 0.8], [0.0, 0.4]]))
    clip_replicates([torch.zeros(1, requires_grad=True)], 1.0)


@pytest.mark.parametrize("seeds", [[0], [0, 1, 2]])
def test_initial_weights_do_not_depend_on_the_group(seeds: list[int]) -> None:
    group = NetworkGroup(MEMBERS, 5, 3, 8, seeds)
    single = Network(MEMBERS[3], 5, 3, 8, seeds)
    mine = slice(3 * len(seeds), 4 * len(seeds))
    torch.testing.assert_close(group.head_weight[mine], single.head_weight)
    x = torch.randn(7, 5, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        torch.testing.assert_close(group(x)[mine], single(x.expand(len(seeds), 7, 5))[0], rtol=1e-5, atol=1e-5)
