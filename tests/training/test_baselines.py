"""Baselines against models of known accuracy, and the [reference] table they are written to."""

import tomllib
from dataclasses import replace

import numpy as np
import pytest
import torch

from metabench.content import identifiers, locate
from metabench.datasets import Task, load_task
from metabench.errors import ArgumentError
from metabench.spaces import Architecture
from metabench.tables.units import protocol_hash
from metabench.training import baselines
from metabench.training.baselines import BASELINES, measure_baselines, with_reference


@pytest.fixture(scope="module")
def short() -> Task:
    task = load_task("annuli-v1")
    protocol = replace(task.protocol, epochs=2, checkpoints=(2,))
    return replace(task, id="short", protocol=protocol, splits={"train": 500, "val": 300, "test": 300}, checksum="")


def test_linear_data_are_learnt_and_validation_chooses(short: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two shifted clouds whose best accuracy is Phi(3) = .9987; a rate of 1e-9 leaves the initial weights."""
    generator = np.random.Generator(np.random.PCG64(0))
    y = np.arange(1100) % 2
    x = generator.standard_normal((1100, 4))
    x[:, 0] += 6 * y - 3
    monkeypatch.setattr(baselines, "load_splits", lambda task: _split(x, y))
    longer = replace(short, protocol=replace(short.protocol, epochs=20))
    found = measure_baselines(longer, seeds=2, rates=(1e-9, 0.03))
    for result in found.values():
        assert result.learning_rate == 0.03
        assert result.test_score > 0.9


def _split(x: np.ndarray, y: np.ndarray) -> object:
    from metabench.datasets import Splits

    x, y = x.astype(np.float32), y.astype(np.int64)
    return Splits(x[:500], y[:500], x[500:800], y[500:800], x[800:], y[800:], classes=2)


def test_batched_seeds_equal_a_single_one(short: Task) -> None:
    together = measure_baselines(short, seeds=1, rates=(0.01,))["mlp"]
    from metabench.datasets import load_splits

    _, test = baselines._scores((64, 64), short, load_splits(short), [3, 0])
    assert together.test_score == pytest.approx(float(test[1]), abs=2 / 300)
    assert together.test_sd == 0


def test_parameters_by_hand() -> None:
    network = baselines._Perceptron((8, *BASELINES["mlp"], 5), [0])
    assert sum(p.numel() for p in network.parameters()) == 8 * 64 + 64 + 64 * 64 + 64 + 64 * 5 + 5
    x = torch.randn(1, 7, 8, generator=torch.Generator().manual_seed(0))
    hidden = x
    for i in range(3):
        hidden = hidden @ network.weights[i][0].T + network.biases[i][0]
        hidden = hidden.clamp_min(0) if i < 2 else hidden
    torch.testing.assert_close(network(x), hidden)


@pytest.mark.parametrize("arguments", [{"seeds": 0}, {"rates": ()}, {"rates": (0.1, -1.0)}])
def test_bad_arguments(short: Task, arguments: dict) -> None:
    with pytest.raises(ArgumentError, match="expected at least one"):
        measure_baselines(short, **arguments)


@pytest.mark.parametrize("name", identifiers("tasks", of="dataset"))
def test_shipped_tasks_name_their_baselines_and_do_not_saturate(name: str) -> None:
    reference = load_task(name).reference
    assert list(reference) == list(BASELINES)
    assert reference["linear"] < reference["mlp"] < 0.95


def test_reference_is_replaced_or_added_and_nothing_else_changes() -> None:
    text = locate("tasks", "spirals-v1").read_text()
    scores = {"linear": 0.25, "mlp": 0.5}
    once = with_reference(text, scores)
    assert tomllib.loads(once) == {**tomllib.loads(text), "reference": scores}
    assert with_reference(once, scores) == once
    bare = 'id = "x"\n\n[splits]\ntrain = 1\n'
    assert tomllib.loads(with_reference(bare, scores)) == {**tomllib.loads(bare), "reference": scores}
    assert with_reference(with_reference(bare, scores), scores) == with_reference(bare, scores)


def test_reference_is_no_part_of_the_protocol_hash() -> None:
    task, architecture = load_task("mnist1d-v1"), Architecture(("mlp.tied",))
    assert protocol_hash(architecture, task, 32) == protocol_hash(architecture, replace(task, reference={}), 32)
