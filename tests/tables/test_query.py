"""Queries against the arrays themselves, on a table of random numbers."""

import dataclasses
import pickle
from pathlib import Path

import numpy as np
import pytest

import metabench
from metabench.datasets import load_task
from metabench.errors import ArchitectureError, MissingResultError, QueryError
from metabench.spaces import load_space
from metabench.tables.benchmark import Benchmark
from metabench.tables.result import METRICS, Result, Status, make_result
from metabench.tables.slices import Slice
from metabench.tables.source import Source

CODE = 14  # mlp.residual,mlp.residual: 1 * 13 + 1


def row(table: Path, name: str, task: int, code: int) -> np.ndarray:
    codes = load_space("cells2-v1").canonical_codes.tolist()
    return np.load(table / name)[task, codes.index(code)]


def test_a_replicate_is_what_the_arrays_say(table: Path) -> None:
    result = metabench.open("cells2-v1/spirals-v1").query(CODE, epoch=5, seed=4)
    results, seconds, costs = (row(table, f"{name}.npy", 1, CODE) for name in ("results", "seconds", "costs"))
    assert [getattr(result, name) for name in METRICS] == [*results[4, 4], seconds[4, 4], *costs]
    assert (result.architecture, result.code) == (("mlp.residual", "mlp.residual"), CODE)
    assert (result.epoch, result.seed) == (5, 4)
    assert result.status == (Status.UNCONVERGED if result.unconverged > 0.05 else Status.OK)


def test_the_mean_is_over_the_tasks_own_replicates(table: Path) -> None:
    for place, (task, seeds) in enumerate((("mnist1d-v1", 3), ("spirals-v1", 5))):
        bench = metabench.open(f"cells2-v1/{task}")
        assert bench.seeds == tuple(range(seeds))
        results = row(table, "results.npy", place, CODE)[:seeds, -1].astype(np.float64)
        result = bench.query(CODE)
        assert result.val_score == np.float32(results[:, 1].sum() / seeds)
        assert result.seed == "mean"
        assert result.epoch == bench.epochs[-1]
        assert result.flops == row(table, "costs.npy", place, CODE)[1]  # a mean would round it
        assert len(bench.query(CODE, seed="all")) == seeds


def test_batch_and_single_queries_are_equal_to_the_bit(table: Path) -> None:
    bench = metabench.open("cells2-v1/spirals-v1")
    codes = np.arange(144)  # the last group, and what equals it once skips are removed, is missing
    codes = codes[~np.isnan(bench.query_batch(codes)[:, 0])]
    assert len(codes) > 100
    seeds = codes % 5
    many = np.concatenate([codes] * 3)  # more rows than the space has codes takes another way
    for epoch in (1, None):
        for seed in (0, 4, "mean", seeds):
            given = seed if isinstance(seed, np.ndarray) else [seed] * len(codes)
            wanted = [bench.query(int(c), epoch=epoch, seed=s if s == "mean" else int(s)) for c, s in zip(codes, given)]  # noqa: B905
            numbers = np.array([[getattr(r, name) for name in METRICS] for r in wanted], dtype=np.float32)
            assert np.array_equal(bench.query_batch(codes, epoch=epoch, seed=seed, metrics=METRICS), numbers)
            long = np.concatenate([seeds] * 3) if isinstance(seed, np.ndarray) else seed
            found = bench.query_batch(many, epoch=epoch, seed=long, metrics=("residual", "val_score"))
            assert np.array_equal(found, np.concatenate([numbers[:, [6, 1]]] * 3))


def test_a_code_that_is_not_canonical_gives_the_canonical_result(table: Path) -> None:
    bench = metabench.open("cells2-v1/mnist1d-v1")
    result = bench.query(1)  # skip,mlp.residual
    assert (result.code, result.architecture) == (13, ("mlp.residual",))
    assert result == bench.query({"stage1": "mlp.residual", "stage2": "skip"}) == bench.query(np.int64(13))
    assert bench.query_batch([1])[0, 0] == np.float32(result.test_score)


def test_a_missing_replicate_makes_the_mean_missing_and_no_other(table: Path) -> None:
    path = table / "results.npy"
    array = np.load(path)
    place = load_space("cells2-v1").canonical_codes.tolist().index(CODE)
    array[1, place, 3] = np.nan
    rewrite(table, array)
    bench = metabench.open("cells2-v1/spirals-v1")
    with pytest.raises(MissingResultError, match=r"mlp\.residual,mlp\.residual \(code 14\), seed mean, is not"):
        bench.query(CODE)
    with pytest.raises(MissingResultError, match="seed 3"):
        bench.query(CODE, seed=3)
    with pytest.raises(MissingResultError, match="seed 3"):
        bench.query(CODE, seed="all")
    assert np.isnan(bench.query_batch([CODE, 13], metrics=("val_score",))).tolist() == [[True], [False]]
    assert bench.query(CODE, seed=2).seed == 2
    assert CODE not in [result.code for result in bench.best(157)]
    assert metabench.open("cells2-v1/mnist1d-v1").query(CODE).code == CODE


def rewrite(table: Path, results: np.ndarray) -> None:
    """The table with other results, as packing would write it."""
    import hashlib
    import json

    np.save(table / "results.npy", results)
    manifest = json.loads((table / "manifest.json").read_text())
    for i, about in enumerate(manifest["tasks"].values()):
        about["sha256"]["results.npy"] = hashlib.sha256(results[i].tobytes()).hexdigest()
    (table / "manifest.json").write_text(json.dumps(manifest))


def test_a_task_without_any_row(table: Path) -> None:
    import json

    manifest = json.loads((table / "manifest.json").read_text())
    manifest["tasks"]["spirals-v1"]["seeds"] = []  # as packing writes it for a task that nothing was trained on
    (table / "manifest.json").write_text(json.dumps(manifest))
    bench = metabench.open("cells2-v1/spirals-v1")
    for seed in ("mean", "all"):
        with pytest.raises(MissingResultError, match=f"seed {seed}, is not in the table yet"):
            bench.query(CODE, seed=seed)
    assert np.isnan(bench.query_batch([CODE])).all()
    with pytest.raises(QueryError):
        bench.query_batch([CODE], seed=np.array([0]))


def test_a_diverged_replicate_makes_the_mean_diverged(table: Path) -> None:
    array = np.load(table / "results.npy")
    place = load_space("cells2-v1").canonical_codes.tolist().index(CODE)
    array[0, place, 1, :, 0] = np.inf
    rewrite(table, array)
    bench = metabench.open("cells2-v1/mnist1d-v1")
    assert [r.status is Status.DIVERGED for r in bench.query(CODE, seed="all")] == [False, True, False]
    assert bench.query(CODE).status is Status.DIVERGED
    assert bench.query(CODE).train_loss == float("inf")


def test_a_result_is_frozen_and_equal_to_one_made_by_its_constructor() -> None:
    numbers = tuple(float(i) for i in range(12))
    fast = make_result(("skip",), 3, 5, "mean", numbers, Status.OK, {"commit": "x"})
    slow = Result(("skip",), 3, 5, "mean", *numbers, Status.OK, {"commit": "x"})
    assert fast == slow
    assert hash(fast) == hash(slow)
    assert repr(fast) == repr(slow)
    assert dataclasses.asdict(fast) == dataclasses.asdict(slow)
    assert pickle.loads(pickle.dumps(fast)) == slow
    assert [getattr(fast, name) for name in METRICS] == list(numbers)
    with pytest.raises(dataclasses.FrozenInstanceError):
        fast.code = 4  # type: ignore[misc]


def test_statuses_of_a_slice() -> None:
    values = np.zeros((5, 12), dtype=np.float32)
    values[1, 0], values[2, 0], values[3, 5], values[4, 5] = np.nan, np.inf, 0.06, 0.05
    kinds = [Status.OK, Status.MISSING, Status.DIVERGED, Status.UNCONVERGED, Status.OK]
    assert Slice(values, 1, 0).status == kinds


@pytest.mark.parametrize("name", ["cells-v1", "cells2-v1"])
def test_the_blocks_of_every_code(name: str) -> None:
    space = load_space(name)
    assert space.blocks_of == [space.architecture(code).blocks for code in range(space.size)]


def test_bad_queries(table: Path) -> None:
    bench = metabench.open("cells2-v1/mnist1d-v1")
    for epoch in ("5", [5], float("nan")):
        with pytest.raises(QueryError, match="is no number; recorded: 1, 2"):
            bench.query(CODE, epoch=epoch)  # type: ignore[arg-type]
    with pytest.raises(QueryError, match=r"epoch 1000 is not recorded; the nearest is 20"):
        bench.query_batch([CODE], epoch=1000)
    for seed in (3, -1, 0.5, None, "median", [0]):
        with pytest.raises(QueryError, match=r"is not in cells2-v1/mnist1d-v1; expected 0, 1, 2, 'mean' or 'all'"):
            bench.query(CODE, seed=seed)  # type: ignore[arg-type]
    for seed in (3, -1, np.array([3]), np.array([-1])):
        with pytest.raises(QueryError, match="is not in cells2-v1/mnist1d-v1"):
            bench.query_batch([CODE], seed=seed)
    with pytest.raises(QueryError, match=r"shape \(2,\) and type int64; expected one integer or \(1,\)"):
        bench.query_batch([CODE], seed=np.array([0, 1]))
    with pytest.raises(QueryError, match="seed='all': expected 'mean'"):
        bench.query_batch([CODE], seed="all")  # type: ignore[arg-type]
    with pytest.raises(QueryError, match="expected a list of names"):
        bench.query_batch([CODE], metrics="val_score")
    for code in (-1, 169):
        with pytest.raises(ArchitectureError, match=f"code {code} is not in space"):
            bench.query(code)
        with pytest.raises(ArchitectureError, match=f"code {code} is not in space"):
            bench.query_batch([0, code])
    assert bench.query_batch([]).shape == (0, 1)


class Lazy(Source):
    """Makes a row's numbers when it is asked for; means are apart: replicate s of row r is r + s, the mean -r."""

    def __init__(self, rows: int, epochs: int) -> None:
        self.seeds = (0, 1)
        self.asked: list[tuple[list[int], bool]] = []
        self.arrays, self.means = (
            tuple(np.full(shape, np.nan, np.float32) for shape in ((rows, n, epochs, 7), (rows, n, epochs), (rows, 4)))
            for n in (2, 1)
        )

    def ensure(self, rows: np.ndarray, *, replicates: bool = True) -> bool:
        self.asked.append((rows.tolist(), replicates))
        target = self.arrays if replicates else self.means
        changed = np.isnan(target[0][rows, 0, 0, 0]).any()
        for row in rows:
            for s in range(target[0].shape[1]):
                for array in target[:2]:
                    array[row, s] = row + s if replicates else -row
            target[2][row] = 1.0
        return bool(changed)


def test_a_source_that_makes_numbers_when_asked_is_asked_each_time() -> None:
    space, task = load_space("cells2-v1"), load_task("mnist1d-v1")
    source = Lazy(157, 12)
    bench = Benchmark(space, task, "surrogate", source, {})
    codes = space.canonical_codes
    assert bench.query(int(codes[3])).val_score == -3
    assert bench.query(int(codes[5])).val_score == -5  # the slice that was cut for row 3 is not used again
    assert bench.query(int(codes[5]), seed=1).val_score == 6
    assert bench.query_batch(codes[[3, 9]], seed=0)[:, 0].tolist() == [3, 9]
    assert bench.query_batch(codes[[3, 9]])[:, 0].tolist() == [-3, -9]
    assert source.asked == [([3], False), ([5], False), ([5], True), ([3, 9], True), ([3, 9], False)]
    with pytest.raises(QueryError):
        bench.query(int(codes[4]), epoch=1000)
    with pytest.raises(QueryError):
        bench.query(int(codes[4]), seed=2)
    with pytest.raises(QueryError):
        bench.query_batch(codes[[4]], seed=np.array([2]))
    assert source.asked[5:] == []  # nothing is trained for a query that cannot be answered
