"""The trainer: batched seeds equal single ones, and the costs are what can be counted by hand."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from metabench.blocks import BLOCKS
from metabench.datasets import Splits, load_splits, load_task
from metabench.layers.fixed_point import compiled
from metabench.spaces import Architecture
from metabench.training import METRICS, measure_cost, train
from metabench.training.train import one_cycle, train_group


@pytest.fixture(scope="module")
def small() -> tuple:
    task = load_task("mnist1d-v1")
    protocol = replace(task.protocol, epochs=2, checkpoints=(1, 2), batch_size=64)
    whole = load_splits(task)
    cut = Splits(*(getattr(whole, f"{part}_{axis}")[:256] for part in ("train", "val", "test") for axis in "xy"), 10)
    return replace(task, protocol=protocol), cut


@pytest.mark.parametrize("name", BLOCKS.names())
def test_batched_seeds_equal_single_ones(name: str, small: tuple) -> None:
    task, splits = small
    architecture = Architecture((name, "mlp.residual"))
    together = train(architecture, task, splits, 8, [0, 1, 2])
    alone = train(architecture, task, splits, 8, [1])
    columns = [METRICS.index(m) for m in ("train_loss", "nfe_forward", "nfe_backward")]
    np.testing.assert_allclose(together.values[1][:, columns], alone.values[0][:, columns], rtol=2e-3)
    scores = [METRICS.index("val_score"), METRICS.index("test_score")]
    np.testing.assert_allclose(together.values[1][:, scores], alone.values[0][:, scores], atol=2 / 256)


def test_the_same_call_gives_the_same_bytes(small: tuple) -> None:
    task, splits = small
    first, second = (train(Architecture(("gated.deq",)), task, splits, 8, [0, 3]).values for _ in range(2))
    assert first.tobytes() == second.tobytes()
    assert not np.array_equal(first[0], first[1])


def test_training_learns(small: tuple) -> None:
    task, _ = small
    task = replace(task, protocol=replace(task.protocol, epochs=3, checkpoints=(3,)))
    curve = train(Architecture(("mlp.tied",)), task, load_splits(task), 32, [0])
    assert curve.values[0, 0, METRICS.index("val_score")] > 0.25  # chance is .1
    assert curve.seconds[0] > 0


def test_a_diverging_replicate_is_marked_and_leaves_the_others_alone(small: tuple) -> None:
    task, splits = small
    poisoned = replace(splits, train_x=splits.train_x.copy())
    poisoned.train_x[0] = np.inf
    values = train(Architecture(("mlp.deq",)), task, poisoned, 8, [0]).values[0, -1]
    assert values[METRICS.index("train_loss")] == np.inf
    assert values[METRICS.index("test_score")] == 0.0


def test_one_cycle_peaks_after_the_warm_up() -> None:
    factors = [one_cycle(step, 100) for step in range(100)]
    assert factors[0] == pytest.approx(0.04)
    assert np.argmax(factors) == 30
    assert max(factors) == pytest.approx(1.0)
    assert factors[-1] < 0.01


def test_costs_by_hand() -> None:
    cost = measure_cost(Architecture(("mlp.residual",)), inputs=40, outputs=10, width=32)
    assert cost.params == 40 * 32 + 32 + 2 * 32 * 32 + 32 + 32 * 10 + 10
    assert cost.flops == 2 * (40 * 32 + 2 * 32 * 32 + 32 * 10)
    tied = measure_cost(Architecture(("mlp.tied",)), inputs=40, outputs=10, width=32)
    deq = measure_cost(Architecture(("mlp.deq",)), inputs=40, outputs=10, width=32)
    assert tied.flops == 2 * (40 * 32 + 7 * 32 * 32 + 32 * 10)
    assert deq.activation_bytes < tied.activation_bytes  # the equilibrium keeps one evaluation, not six
    assert torch.is_grad_enabled()


@pytest.mark.parametrize("name", ["gated.deq", "mlp.deq-monotone", "qp.simplex"])
def test_operations_of_compiled_solves_are_counted(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = measure_cost(Architecture((name,)), inputs=8, outputs=3, width=16)
    monkeypatch.setattr(compiled, "has_compiler", lambda: False)
    theirs = measure_cost(Architecture((name,)), inputs=8, outputs=3, width=16)
    assert ours.flops == theirs.flops > 4 * 2 * 16 * 16
    assert ours.activation_bytes == theirs.activation_bytes


def test_weight_decay_is_decoupled_and_none_of_it_is_adam(small: tuple) -> None:
    task, splits = small
    architectures = [Architecture(("mlp.residual",))]
    plain, none, some = (
        train_group(architectures, task, splits, 8, [0], **given)[0].values
        for given in ({}, {"weight_decay": 0.0}, {"weight_decay": 100.0})
    )
    assert plain.tobytes() == none.tobytes()
    # A step takes off rate x decay of each weight. The factor of one cycle is above 0.2 in six of these eight steps:
    # 0.01 * 100 * 0.2 each time leaves a quarter, and a network of small weights has the loss of a guess.
    loss = METRICS.index("train_loss")
    assert abs(some[0, -1, loss] - np.log(10)) < 0.02
    assert abs(plain[0, -1, loss] - np.log(10)) > 0.05
