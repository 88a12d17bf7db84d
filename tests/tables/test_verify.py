"""Verification by retraining: an honest table agrees, an altered one does not, and the bands are as stated."""

import hashlib
import json
import math
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from metabench.cli.main import main
from metabench.datasets import Task, load_task
from metabench.errors import ArgumentError, TableError
from metabench.spaces import load_space
from metabench.tables import verify_table
from metabench.tables.shards import read_shards
from metabench.tables.table import open_table
from metabench.tables.verify import Check, compare_row, seed_noise

SEEDS = np.array([[0.5, 0.52, 0.54], [0.6, 0.6, 0.6], [0.7, np.nan, np.nan]], dtype=np.float32)


@pytest.fixture
def table_of_mine(own: Path, built: Path) -> Path:
    """The trained tiny table where ``verify`` finds it."""
    home = own / "surrogates" / "tiny"
    shutil.copytree(built, home)
    return home / "table"


def alter(table: Path, name: str, place: tuple[Any, ...], value: float) -> None:
    """A number changed by somebody who also mended the checksums."""
    array = np.load(table / name)
    array[place] = value
    np.save(table / name, array)
    manifest = json.loads((table / "manifest.json").read_text())
    for i, about in enumerate(manifest["tasks"].values()):
        about["sha256"][name] = hashlib.sha256(array[i].tobytes()).hexdigest()
    (table / "manifest.json").write_text(json.dumps(manifest))


def test_an_honest_table_agrees_and_an_altered_one_does_not(
    table_of_mine: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    command = ["verify", "./space.toml", "--tasks", "./task.toml", "--rows", "100", "--seed", "1"]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert out.startswith("6 of 6 rows of surrogates/tiny/table trained again\n")
    assert out.count(" yes\n") == 6
    assert "\n6 of 6 rows agree (" in out

    alter(table_of_mine, "results.npy", (0, 1, 1, 1, 2), 0.99)  # architecture 1, seed 1, last epoch, test score
    assert main([*command, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["agrees"] is False
    (bad,) = [row for row in document["rows"] if not row["agrees"]]
    assert (bad["architecture"], bad["seed"]) == (["mlp.residual"], 1)
    (check,) = [check for check in bad["checks"] if not check["agrees"]]
    assert (check["name"], check["stored"]) == ("test_score@2", pytest.approx(0.99))


def test_the_sample_is_the_seeds(table_of_mine: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shards = list(read_shards(table_of_mine.parent, "tiny-task"))
    monkeypatch.setattr("metabench.tables.verify.run_unit", lambda unit: shards[0])

    def drawn(seed: int) -> list[tuple[int, int]]:
        report = verify_table("./space.toml", tasks=["./task.toml"], rows=3, seed=seed)
        assert report.finished == 6
        return [(row.code, row.seed) for row in report.rows]

    assert drawn(0) == drawn(0)
    assert len({tuple(drawn(seed)) for seed in range(8)}) > 1
    assert all(len(set(drawn(seed))) == 3 for seed in range(4))


@pytest.mark.parametrize(
    ("place", "metric", "factor", "agrees"),
    [
        ((0, 0), 0, 1.0009, True),  # training loss of the first epoch: 0.1%
        ((0, 0), 0, 1.0011, False),
        ((0, 0), 3, 1.009, True),  # function evaluations: 1%
        ((0, 0), 3, 1.011, False),
        ((0, 1), 0, 2.0, True),  # the last loss is not compared
        ((0, 0), 0, math.inf, False),
        ((0, 1), 1, math.nan, False),
    ],
)
def test_the_bands(table_of_mine: Path, place: tuple[int, int], metric: int, factor: float, agrees: bool) -> None:
    again, task, where = retraining_of_itself(table_of_mine)
    table = open_table(table_of_mine)
    assert all(check.agrees for check in compare_row(table, task, where, again))
    values = again.values.copy()
    values[0, place[0], place[1], metric] *= factor
    found = compare_row(table, task, where, replace(again, values=values))
    assert all(check.agrees for check in found) is agrees


@pytest.mark.parametrize(
    ("cost", "factor", "agrees"), [(0, 1.001, False), (1, 1.09, True), (1, 1.2, False), (2, 1.01, False)]
)
def test_the_bands_of_costs(table_of_mine: Path, cost: int, factor: float, agrees: bool) -> None:
    again, task, where = retraining_of_itself(table_of_mine)
    costs = again.cost.copy()
    costs[0, cost] *= factor
    found = compare_row(open_table(table_of_mine), task, where, replace(again, cost=costs))
    assert all(check.agrees for check in found) is agrees


def retraining_of_itself(table: Path) -> tuple[Any, Task, tuple[int, int, int]]:
    """The row of qp.box, seed 0, as if it had been trained again to the bit."""
    shards = [s for s in read_shards(table.parent, "tiny-task") if "qp.box" in s.architectures]
    place = shards[0].architectures.index("qp.box")
    shard = shards[0]
    again = replace(shard, values=shard.values[place : place + 1, :1], cost=shard.cost[place : place + 1])
    return again, load_task("./task.toml"), (0, load_space("./space.toml").canonical_codes.tolist().index(2), 0)


def test_the_seed_noise() -> None:
    # Variances .0004 and 0 with two degrees of freedom, whose chi-squared median is 2 ln 2: by hand.
    table = math.sqrt((0.0004 / math.log(2) + 0.0) / 2)
    assert seed_noise(SEEDS, 1, 0, 100) == pytest.approx(table, rel=1e-4)
    assert seed_noise(SEEDS, 2, 0, 100) == pytest.approx(table, rel=1e-4)
    loud = np.concatenate([SEEDS, [[0.2, 0.4, 0.9]]])
    assert seed_noise(loud, 3, 2, 100) == pytest.approx(0.2 / math.sqrt(2), rel=1e-4)  # of .2 and .4
    assert seed_noise(SEEDS[2:], 0, 0, 100) == pytest.approx(math.sqrt(0.7 * 0.3 / 100), rel=1e-4)


def test_a_wrong_number_does_not_widen_its_own_band() -> None:
    scores = np.random.default_rng(0).normal(0.7, 0.01, (500, 3))
    before = seed_noise(scores, 7, 1, 2000)
    assert before == pytest.approx(0.01, rel=0.2)
    scores[7, 1] = 0.99
    assert seed_noise(scores, 7, 1, 2000) == pytest.approx(before, rel=0.01)


def test_two_divergences_agree_and_one_does_not() -> None:
    inf = math.inf
    assert Check("train_loss@1", inf, inf, 0.01).agrees
    assert not Check("train_loss@1", 1.0, inf, 0.01).agrees
    assert not Check("train_loss@1", 1.0, math.nan, 0.01).agrees


def test_a_table_of_another_protocol_is_refused(table_of_mine: Path, own: Path) -> None:
    text = (own / "task.toml").read_text()
    (own / "task.toml").write_text(text.replace("default = 0.01", "default = 0.02"))
    with pytest.raises(TableError, match=r"trained by another protocol .*'metabench build --space tiny'"):
        verify_table("./space.toml", tasks=["./task.toml"])


def test_bad_arguments(table_of_mine: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ArgumentError, match="rows=0"):
        verify_table("./space.toml", tasks=["./task.toml"], rows=0)
    assert main(["verify", "./space.toml", "--rows", "0"]) == 2
    with pytest.raises(ArgumentError, match=r"task 'mnist1d-v1' is not in the table of 'tiny'.* Known: tiny-task"):
        verify_table("./space.toml", tasks=["mnist1d-v1"])
    array = np.load(table_of_mine / "results.npy")
    alter(table_of_mine, "results.npy", (slice(None),) * array.ndim, math.nan)
    with pytest.raises(TableError, match="no finished row to verify"):
        verify_table("./space.toml", tasks=["./task.toml"])
