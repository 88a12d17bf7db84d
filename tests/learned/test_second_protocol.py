"""The second protocol: the benchmark's weights and batches, another optimizer, and ranks compared by hand."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch

from metabench.datasets import load_splits, load_task, make_splits
from metabench.errors import ArgumentError
from metabench.learned import load
from metabench.learned.optimizers import Adam, MLPRule, OptimizerFactory, save_weights
from metabench.learned.second_protocol import agreement, main, sample_codes, second_protocol, train_by
from metabench.spaces import Architecture, load_space
from metabench.training import METRICS, train


def short_task(epochs: int = 2):
    task = load_task("spirals-v1")
    protocol = replace(task.protocol, epochs=epochs, checkpoints=(1, epochs), batch_size=64)
    return replace(task, protocol=protocol, splits={"train": 256, "val": 100, "test": 100}, checksum="")


@pytest.fixture
def optimizer(tmp_path):
    rule = MLPRule()
    return save_weights(tmp_path / "mine", rule, rule.weights(torch.Generator().manual_seed(0)), {})


def test_before_the_optimizers_differ_both_protocols_are_one() -> None:
    # With a rate of zero nothing moves, so the first epoch's loss is that of the initial weights on the same batches.
    task, architecture = short_task(), Architecture(("mlp.tied",))
    still = OptimizerFactory("still", Adam(), {"rate": torch.tensor(0.0)}, {})
    found = train_by(still, architecture, task, load_splits(task), 8, [0, 1])
    frozen = replace(task, protocol=replace(task.protocol, learning_rate={"default": 1e-30}))
    expected = train(architecture, frozen, load_splits(task), 8, [0, 1]).values
    for column, name in enumerate(("train_loss", "val_score", "test_score")):
        np.testing.assert_allclose(found[:, :, column], expected[:, :, METRICS.index(name)], rtol=1e-5, atol=1e-6)


def test_a_lost_replicate_does_not_stop_the_others() -> None:
    task, architecture = short_task(), Architecture(("mlp.tied",))
    splits = make_splits(task)
    alone = train_by(OptimizerFactory("", Adam(), {"rate": torch.tensor(0.01)}, {}), architecture, task, splits, 8, [1])

    class Bad(Adam):
        """Destroys the replicate whose first weight is that of seed 0."""

        def step(self, weights, params, grads, state):
            params, state = super().step(weights, params, grads, state)
            key = next(iter(params))
            mark = (params[key].reshape(-1)[0] - first).abs() < 0.05
            return {k: torch.where(mark, v / 0, v) for k, v in params.items()}, state

    from metabench.spaces import Network

    first = next(Network(architecture, 2, 3, 8, [0]).parameters()).reshape(-1)[0].item()
    both = train_by(
        OptimizerFactory("", Bad(), {"rate": torch.tensor(0.01)}, {}), architecture, task, splits, 8, [0, 1]
    )
    assert both[0].tolist() == [[np.inf, 0.0, 0.0]] * 2
    np.testing.assert_allclose(both[1], alone[0], rtol=1e-4, atol=5e-3)


def test_agreement_by_hand() -> None:
    architectures = [Architecture((name,)) for name in ("mlp.deq", "mlp.ode", "gated.deq")]
    found = agreement(np.array([0.1, 0.2, 0.3]), np.array([0.3, 0.1, 0.2]), architectures)
    # Ranks 1 2 3 and 3 1 2: sum of squares 6, so rho = 1 - 6 * 6 / 24; one of three pairs agrees.
    assert found.spearman == pytest.approx(-0.5)
    assert found.kendall == pytest.approx(-1 / 3)
    assert found.lifts == pytest.approx({"deq": (2 - 1) / 2 / 3, "ode": -1 / 3})
    with pytest.raises(ArgumentError, match="missing"):
        agreement(np.array([0.1, np.nan]), np.array([0.3, 0.1]), architectures[:2])


def test_codes_are_distinct_and_the_same_every_time() -> None:
    space = load_space("cells2-v1")
    codes = sample_codes(space, 20)
    assert codes == sample_codes(space, 20) == sorted(set(codes))
    assert set(codes) <= set(space.canonical_codes.tolist())
    assert len(sample_codes(space, 10**6)) == len(space.canonical_codes)
    with pytest.raises(ArgumentError):
        sample_codes(space, 0)


def test_trainings_are_kept(optimizer, tmp_path) -> None:
    space, task, out = load_space("cells2-v1"), short_task(), tmp_path / "rows.jsonl"
    codes = [space.code("mlp.tied,skip"), space.code("mlp.residual,skip")]
    second_protocol(optimizer, space, [task], codes[:1], out, seeds=2)
    found = second_protocol(optimizer, space, [task], codes, out, seeds=2)
    assert len(out.read_bytes().splitlines()) == 2
    assert found[task.id].shape == (2, 2, 2, 3)
    direct = train_by(load(optimizer), Architecture(("mlp.tied",)), task, load_splits(task), space.width, [0, 1])
    np.testing.assert_allclose(found[task.id][0], direct)


def test_the_command_compares_with_the_table(optimizer, tmp_path, capsys, monkeypatch) -> None:
    made = np.linspace(0.2, 0.6, 6).reshape(6, 1, 1, 1).repeat(3, axis=3)
    monkeypatch.setattr("metabench.learned.second_protocol.second_protocol", lambda *a, **k: {"mnist1d-v1": made})
    main(
        [str(optimizer), "--out", str(tmp_path / "x"), "--space", "cells2-v1", "--tasks", "mnist1d-v1", "--sample", "6"]
    )
    out = capsys.readouterr().out
    assert "cells2-v1/mnist1d-v1: 6 architectures, mean test score 0.400" in out
    assert "Spearman" in out
