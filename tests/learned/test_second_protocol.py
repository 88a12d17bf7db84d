"""The second protocol: the benchmark's weights and batches, another optimizer, and ranks compared by hand."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from metabench.datasets import load_splits, load_task, make_splits
from metabench.errors import ArgumentError
from metabench.learned import load
from metabench.learned.group_training import train_by
from metabench.learned.optimizers import Adam, MLPRule, OptimizerFactory, save_weights
from metabench.learned.second_protocol import agreement, main, sample_groups, second_protocol
from metabench.spaces import Architecture, load_space
from metabench.spaces.network import Network
from metabench.tables.groups import training_groups
from metabench.tables.protocols import ProtocolRows, open_protocol, write_protocol
from metabench.training import METRICS, train_group


def short_task(epochs: int = 2):
    task = load_task("spirals-v1")
    protocol = replace(task.protocol, epochs=epochs, checkpoints=(1, epochs), batch_size=64)
    return replace(task, protocol=protocol, splits={"train": 256, "val": 100, "test": 100}, checksum="")


@pytest.fixture
def optimizer(tmp_path):
    rule = MLPRule()
    return save_weights(tmp_path / "mine", rule, rule.weights(torch.Generator().manual_seed(0)), {})


GROUP = (Architecture(("mlp.tied", "mlp.residual")), Architecture(("mlp.tied", "mlp.deq")))


def test_before_the_optimizers_differ_both_protocols_are_one() -> None:
    # With a rate of zero nothing moves, so all that is measured is that of the initial weights on the same batches.
    task = short_task()
    still = OptimizerFactory("still", Adam(), {"rate": torch.tensor(0.0)}, {})
    found, seconds = train_by(still, GROUP, task, load_splits(task), 8, [0, 1])
    frozen = replace(task, protocol=replace(task.protocol, learning_rate={"default": 1e-30}))
    expected = train_group(GROUP, frozen, load_splits(task), 8, [0, 1])
    np.testing.assert_allclose(found, np.stack([curve.values for curve in expected]), rtol=1e-4, atol=1e-6)
    assert (np.diff(seconds, axis=-1) > 0).all()


def test_a_group_is_its_members_trained_alone() -> None:
    task, adam = short_task(), OptimizerFactory("", Adam(), {"rate": torch.tensor(0.01)}, {})
    together, _ = train_by(adam, GROUP, task, load_splits(task), 8, [0, 1])
    for i, architecture in enumerate(GROUP):
        alone, _ = train_by(adam, [architecture], task, load_splits(task), 8, [0, 1])
        np.testing.assert_allclose(together[i, :, :, 0], alone[0, :, :, 0], rtol=1e-3)


def test_a_lost_replicate_does_not_stop_the_others() -> None:
    task, architecture = short_task(), Architecture(("mlp.tied",))
    splits = make_splits(task)
    adam = OptimizerFactory("", Adam(), {"rate": torch.tensor(0.01)}, {})
    alone, _ = train_by(adam, [architecture], task, splits, 8, [1])

    class Bad(Adam):
        """Destroys the replicate whose first weight is that of seed 0."""

        def step(self, weights, params, grads, state):
            params, state = super().step(weights, params, grads, state)
            key = next(iter(params))
            mark = (params[key].reshape(-1)[0] - first).abs() < 0.05
            return {k: torch.where(mark, v / 0, v) for k, v in params.items()}, state

    first = next(Network(architecture, 2, 3, 8, [0]).parameters()).reshape(-1)[0].item()
    both, _ = train_by(
        OptimizerFactory("", Bad(), {"rate": torch.tensor(0.01)}, {}), [architecture], task, splits, 8, [0, 1]
    )
    assert both[0, 0, :, :3].tolist() == [[np.inf, 0.0, 0.0]] * 2
    np.testing.assert_allclose(both[0, 1, :, :3], alone[0, 0, :, :3], rtol=1e-4, atol=5e-3)


def test_agreement_by_hand() -> None:
    architectures = [Architecture((name,)) for name in ("mlp.deq", "mlp.ode", "gated.deq")]
    found = agreement(np.array([0.1, 0.2, 0.3]), np.array([0.3, 0.1, 0.2]), architectures)
    # Ranks 1 2 3 and 3 1 2: sum of squares 6, so rho = 1 - 6 * 6 / 24; one of three pairs agrees.
    assert found.spearman == pytest.approx(-0.5)
    assert found.kendall == pytest.approx(-1 / 3)
    assert found.lifts == pytest.approx({"deq": (2 - 1) / 2 / 3, "ode": -1 / 3})
    assert found.architectures == 3
    # Of the two that both have, both rank the same way: the row with a missing score is left out.
    part = agreement(np.array([0.1, np.nan, 0.3]), np.array([0.1, 0.9, 0.2]), architectures)
    assert (part.architectures, part.spearman) == (2, pytest.approx(1.0))
    assert part.lifts == {"deq": pytest.approx(0.0)}
    with pytest.raises(ArgumentError, match="1 architectures are measured by both"):
        agreement(np.array([0.1, np.nan]), np.array([0.3, 0.1]), architectures[:2])


def test_a_sample_is_of_whole_groups_with_every_block_about_equally_often() -> None:
    space = load_space("cells-v1")
    groups = sample_groups(space, 300)
    assert groups == sample_groups(space, 300) != sample_groups(space, 300, seed=1)
    members = [a for group in groups for a in group]
    assert 300 <= len(members) == len(set(members)) < 300 + 27
    assert set(groups) <= set(training_groups(space))
    counts = Counter(place for a in members for place in enumerate(a.blocks))
    assert len(counts) == 3 * 12
    assert max(counts.values()) <= 2 * min(counts.values())
    assert sum(map(len, sample_groups(space, 10**6))) == 12**3
    with pytest.raises(ArgumentError):
        sample_groups(space, 0)


def test_trainings_are_kept_packed_and_answer_queries(optimizer, tmp_path, monkeypatch) -> None:
    space, task, out = load_space("cells2-v1"), short_task(), tmp_path / "rows.jsonl"
    pairs = [[Architecture(("mlp.tied", last)) for last in ("mlp.residual", "mlp.tied")], [Architecture(("mlp.tied",))]]
    groups = [tuple(pair) for pair in pairs]
    second_protocol(optimizer, space, [task], groups[:1], out, seeds=2)
    found = second_protocol(optimizer, space, [task], groups, out, seeds=2)[task.id]
    assert len(out.read_bytes().splitlines()) == 2
    assert found.codes.tolist() == sorted(space.code(a) for group in groups for a in group)
    direct, _ = train_by(load(optimizer), groups[1], task, load_splits(task), space.width, [0, 1])
    row = found.codes.tolist().index(space.code(groups[1][0]))
    np.testing.assert_allclose(found.results[row], direct[0])
    monkeypatch.chdir(tmp_path)
    write_protocol(tmp_path / "surrogates" / space.id / "learned", space, {task.id: found}, {task.id: task}, {})
    source, provenance = open_protocol("learned", space, task)
    np.testing.assert_array_equal(source.arrays[0][space.row_of[found.codes]], found.results)
    assert provenance["protocol"] == "learned"


def test_the_command_compares_with_the_table(optimizer, tmp_path, capsys, monkeypatch) -> None:
    space, task = load_space("cells2-v1"), load_task("mnist1d-v1")
    codes = np.array(sorted(space.code(a) for group in sample_groups(space, 6) for a in group))
    shape = (len(codes), 1, len(task.epochs), len(METRICS))
    results = np.linspace(0.2, 0.6, len(codes), dtype=np.float32).reshape(-1, 1, 1, 1) * np.ones(shape, np.float32)
    rows = ProtocolRows(codes, results, results[..., 0])
    monkeypatch.setattr("metabench.learned.second_protocol.second_protocol", lambda *a, **k: {task.id: rows})
    main(
        [str(optimizer), "--out", str(tmp_path / "x"), "--space", "cells2-v1", "--tasks", "mnist1d-v1", "--sample", "6"]
    )
    out = capsys.readouterr().out
    assert f"cells2-v1/mnist1d-v1: {len(codes)} architectures, mean test score 0.400" in out
    assert "Spearman" in out
