"""Costs measured apart from the trainings, and packed in their place."""

import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from metabench.datasets import load_task
from metabench.errors import ArgumentError, TableError
from metabench.spaces import load_space
from metabench.tables import ARCHITECTURE_METRICS, measure_costs, pack_table
from metabench.tables.costs import read_costs

TASK = "./task.toml"


@pytest.fixture
def home(own: Path, built: Path) -> Path:
    home = own / "surrogates" / "tiny"
    shutil.copytree(built, home)
    return home


def measure(home: Path, **settings: bool) -> int:
    return measure_costs("./space.toml", [TASK], out=home, **settings)["tiny-task"]


def test_counts_are_the_trainings_own_and_latency_is_replaced(home: Path) -> None:
    before = np.load(home / "table" / "costs.npy")
    count = measure(home, busy=True)
    assert count == before.shape[1]
    assert measure(home, busy=True) == 0
    alone = read_costs(load_space("./space.toml"), load_task(TASK), home)
    pack_table("./space.toml", [TASK], out=home)
    after = np.load(home / "table" / "costs.npy")
    counted = [ARCHITECTURE_METRICS.index(name) for name in ("params", "flops", "activation_bytes")]
    np.testing.assert_array_equal(after[..., counted], before[..., counted])
    np.testing.assert_array_equal(after[0], np.array(list(alone.values()), dtype=np.float32))


def test_a_busy_machine_is_refused(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "getloadavg", lambda: (3.0, 1.0, 1.0))
    with pytest.raises(ArgumentError, match=r"busy.*3\.0.*--busy"):
        measure(home)
    assert not (home / "costs").exists()


def test_damaged_costs_are_one_line(home: Path) -> None:
    measure(home, busy=True)
    path = home / "costs" / "tiny-task.npz"
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(TableError, match=r"damaged costs.*measure again"):
        pack_table("./space.toml", [TASK], out=home)
