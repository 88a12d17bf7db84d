"""Building a joint space's data: resumable, growing, and the same whatever else is built."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metabench
from metabench.cli.main import main
from metabench.datasets import load_splits, load_task
from metabench.errors import ArgumentError
from metabench.spaces import JointSpace, load_space
from metabench.tables import BuildReport, build_table
from metabench.tables.joint_units import joint_key, joint_task, run_joint_unit
from metabench.tables.shards import read_shards
from metabench.testing.joint import TINY_JOINT
from metabench.training.joint import train_joint

TASK = """id = "tiny-task"
description = "A slice of the spirals."
dataset = "spirals"
metric = "accuracy"
[parameters]
samples = 300
arms = 3
turns = 2.5
noise = 0.03
seed = 0
[splits]
train = 100
val = 100
test = 100
[protocol]
epochs = 2
batch_size = 20
checkpoints = [1, 2]
[protocol.learning_rate]
default = 0.01
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a joint space of the user's own; the working directory has its definition and a task."""
    (tmp_path / "space.toml").write_text(TINY_JOINT)
    (tmp_path / "task.toml").write_text(TASK)
    monkeypatch.chdir(tmp_path)
    return tmp_path / "surrogates" / "tiny-joint"


def build(home: Path, **settings: Any) -> BuildReport:
    return build_table("./space.toml", ["./task.toml"], workers=1, out=home, **settings)


def rows(home: Path) -> dict[str, bytes]:
    return {
        key: shard.values[i, j].tobytes()
        for shard in read_shards(home, "tiny-task")
        for i, keys in enumerate(shard.keys)
        for j, key in enumerate(keys)
    }


def test_a_build_is_resumable_grows_and_repeats_itself(home: Path) -> None:
    plan = build(home, samples=5, dry_run=True)
    assert (plan.planned, plan.done_before) == (5 + 3, 0)  # configurations 0, 2 and 4 have a second seed
    assert not home.exists()
    first = build(home, samples=5)
    assert (first.planned, first.trained, first.packed) == (8, 8, False)
    before = rows(home)
    assert len(before) == 8
    again = build(home, samples=5)
    assert (again.done_before, again.trained) == (8, 0)
    more = build(home, samples=7)
    assert (more.planned, more.trained) == (7 + 4, 3)
    assert before.items() <= rows(home).items()
    assert not (home / "table").exists()


def test_a_row_is_what_its_configuration_says(home: Path) -> None:
    build(home, samples=2)
    space = load_space("./space.toml")
    assert isinstance(space, JointSpace)
    task = joint_task(space, load_task("./task.toml"))
    assert task.protocol.batch_size == 25
    found = {}
    for shard in read_shards(home, "tiny-task"):
        for text, keys, values in zip(shard.architectures, shard.keys, shard.values, strict=True):
            architecture = space.architecture(space.code(json.loads(text)))
            assert json.loads(text) == architecture.as_dict()
            assert keys == [joint_key(architecture, task, seed) for seed in shard.seeds]
            found |= {(architecture, seed): row for seed, row in zip(shard.seeds, values, strict=True)}
    assert set(found) == {(space.architecture(space.sample(i)), s) for i, s in ((0, 0), (0, 1), (1, 0))}
    architecture = space.architecture(space.sample(1))
    curve = train_joint(architecture, task, load_splits(task), [0])
    assert curve.values[0].tobytes() == found[architecture, 0].tobytes()


def test_what_decides_the_numbers_is_in_the_key() -> None:
    space = load_space("joint-v1")
    assert isinstance(space, JointSpace)
    task = joint_task(space, load_task("spirals-v1"))
    code = space.sample(0)
    other = space.architecture(space.vary(code, tolerance=0.1))
    keys = {
        joint_key(space.architecture(code), task, 0),
        joint_key(space.architecture(code), task, 1),
        joint_key(space.architecture(code), load_task("spirals-v1"), 0),  # the table's own batch size
        joint_key(space.architecture(code), joint_task(space, load_task("letter-v1")), 0),
        joint_key(other, task, 0),
    }
    assert len(keys) == 5


def test_bad_arguments_and_commands_of_tables(home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ArgumentError, match="samples=0"):
        build(home, samples=0)
    with pytest.raises(ArgumentError, match=r"space 'cells2-v1' is trained whole; leave it out"):
        build_table("cells2-v1", ["mnist1d-v1"], samples=3, dry_run=True)
    small = Path("task.toml").read_text().replace("train = 100", "train = 20").replace("test = 100", "test = 180")
    Path("small.toml").write_text(small)
    with pytest.raises(ArgumentError, match="has batches of 25, and tiny-task only 20 training rows"):
        build_table("./space.toml", ["./small.toml"], out=home)
    for command in (["pack", "--space", "joint-v1"], ["export", "joint-v1", "--to", "x.csv"], ["verify", "joint-v1"]):
        assert main(command) == 2
        assert "'joint-v1' has no table, only a surrogate" in capsys.readouterr().err
    assert main(["build", "--space", "joint-v1", "--samples", "40", "--dry-run"]) == 0
    assert "88 trainings in all" in capsys.readouterr().out  # two tasks, 40 configurations, two of them twice more
    assert metabench.load_space("joint-v1").kind == "joint"


def test_a_unit_travels(home: Path) -> None:
    import pickle

    from metabench.tables.joint_units import joint_units

    space = load_space("./space.toml")
    assert isinstance(space, JointSpace)
    task = joint_task(space, load_task("./task.toml"))
    units, missing, planned = joint_units(space, [task], 2, 1, home)
    assert (missing, planned) == (3, 3)
    unit = pickle.loads(pickle.dumps(units[0]))  # as Dask sends it
    assert unit == units[0]
    shard = run_joint_unit(unit)
    assert shard.values.shape == (2, 1, 2, 7)
    assert np.isfinite(shard.cost).all()
