"""The shipped tasks, and mistakes in a task file."""

import random
from pathlib import Path

import numpy as np
import pytest

from metabench.content import identifiers, locate
from metabench.datasets import checksum, load_splits, load_task
from metabench.errors import ContentError, DefinitionError


@pytest.mark.parametrize("name", identifiers("tasks", of="dataset"))
def test_shipped_arrays_are_those_that_were_published(name: str) -> None:
    task = load_task(name)
    splits = load_splits(task)
    assert checksum(splits) == task.checksum
    assert splits.train_x.dtype == np.float32
    assert [len(a) for a in (splits.train_y, splits.val_y, splits.test_y)] == [
        task.splits[part] for part in ("train", "val", "test")
    ]
    assert set(np.unique(splits.train_y)) == set(range(splits.classes))


def test_making_data_leaves_global_random_state_alone() -> None:
    from metabench.datasets.mnist1d import make

    np.random.seed(7)  # noqa: NPY002
    random.seed(7)
    before = np.random.get_state()[1].copy(), random.getstate()  # noqa: NPY002
    make(samples=100)
    assert np.array_equal(before[0], np.random.get_state()[1])  # noqa: NPY002
    assert before[1] == random.getstate()


def test_another_generator_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text(locate("tasks", "mnist1d-v1").read_text().replace("seed = 42", "seed = 43"))
    with pytest.raises(ContentError, match="checksum"):
        load_splits(load_task(str(path)))


@pytest.mark.parametrize("name", identifiers("tasks", of="dataset"))
def test_shipped_splits_are_balanced_and_long_enough(name: str) -> None:
    task = load_task(name)
    splits, protocol = load_splits(task), task.protocol
    for labels in (splits.train_y, splits.val_y, splits.test_y):
        expected = len(labels) / splits.classes
        assert np.abs(np.bincount(labels) - expected).max() < 5 * expected**0.5
    assert protocol.epochs * (task.splits["train"] // protocol.batch_size) >= 620
    assert len(protocol.checkpoints) == 12


def test_an_unknown_parameter_is_answered(tmp_path: Path) -> None:
    path = tmp_path / "t.toml"
    path.write_text(locate("tasks", "spirals-v1").read_text().replace("turns =", "turn ="))
    with pytest.raises(DefinitionError, match=r"no parameter 'turn'\. Did you mean 'turns'"):
        load_splits(load_task(str(path)))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (('dataset = "mnist1d"', 'dataset = "mnist2d"'), r"t\.toml:3: key 'dataset'.*Did you mean 'mnist1d'"),
        (("train = 4000", "trian = 4000"), "splits"),
        (("epochs = 20", "epochs = 21"), "checkpoints"),
        (("default = 0.01", "default = -1"), "learning_rate"),
        (('metric = "accuracy"', 'metric = "auc"'), "metric"),
        (("batch_size = 128", "batch_sise = 128"), "Did you mean 'batch_size'"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "t.toml"
    path.write_text(locate("tasks", "mnist1d-v1").read_text().replace(*change))
    with pytest.raises(DefinitionError, match=message):
        load_task(str(path))
