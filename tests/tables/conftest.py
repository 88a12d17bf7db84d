"""A small space and task of the user's own, so that a whole build takes seconds."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from metabench.tables import build_table

SPACE = """id = "tiny"
description = "One stage, three blocks."
stages = 1
width = 8
blocks = ["skip", "mlp.residual", "qp.box"]
"""
TASK = """id = "tiny-task"
description = "A slice of MNIST-1D."
dataset = "mnist1d"
metric = "accuracy"
[parameters]
samples = 400
[splits]
train = 200
val = 100
test = 100
[protocol]
epochs = 2
batch_size = 50
checkpoints = [1, 2]
[protocol.learning_rate]
default = 0.01
"qp.box" = 0.005
"""


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A finished table of two seeds; copy it before changing it."""
    folder = tmp_path_factory.mktemp("built")
    (folder / "space.toml").write_text(SPACE)
    (folder / "task.toml").write_text(TASK)
    report = build_table(
        str(folder / "space.toml"), [str(folder / "task.toml")], workers=1, seeds=2, out=folder / "out"
    )
    assert (report.planned, report.done_before, report.trained) == (6, 0, 6)
    return folder / "out"


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with ``space.toml`` and ``task.toml``; it is the working directory."""
    (tmp_path / "space.toml").write_text(SPACE)
    (tmp_path / "task.toml").write_text(TASK)
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture(scope="session")
def synthetic(tmp_path_factory: pytest.TempPathFactory, write_synthetic_table: Callable[..., Path]) -> Path:
    """A table of cells2-v1 with random numbers on two tasks; the last group of architectures is not trained."""
    home = tmp_path_factory.mktemp("synthetic") / "cells2-v1"
    write_synthetic_table(home, "cells2-v1", ("mnist1d-v1", "spirals-v1"), seeds=None, leave_out=1)
    return home


@pytest.fixture
def table(synthetic: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of the synthetic table, opened by ``metabench.open("cells2-v1/...")``."""
    home = tmp_path / "surrogates" / "cells2-v1"
    shutil.copytree(synthetic, home)
    monkeypatch.chdir(tmp_path)
    return home / "table"
