"""Learning from other tasks of a packed table, the task searched left out."""

import hashlib
import json

import numpy as np
import pytest

from metabench.errors import ArgumentError, TableError
from metabench.searchers import run_search
from metabench.searchers.objective import Objective
from metabench.searchers.transfer import scores_on_other_tasks
from metabench.tables.pack import SCHEMA_VERSION
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS
from metabench.testing.toy_benchmark import make_toy_benchmark


def write_table(folder, benchmarks):
    """A packed table of the benchmarks' tasks, where :func:`find_table` looks first."""
    place = folder / "surrogates" / benchmarks[0].space_definition.id / "table"
    place.mkdir(parents=True)
    files, checksums = {}, [{} for _ in benchmarks]
    arrays = zip(*(benchmark._source.arrays for benchmark in benchmarks), strict=True)
    for name, parts in zip(("results.npy", "seconds.npy", "costs.npy"), arrays, strict=True):
        np.save(place / name, np.stack(parts))
        for checksum, part in zip(checksums, parts, strict=True):
            checksum[name] = hashlib.sha256(np.ascontiguousarray(part)).hexdigest()
        data = (place / name).read_bytes()
        files[name] = {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)}
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "tasks": {
            benchmark.task.id: {
                "epochs": list(benchmark.epochs),
                "seeds": list(benchmark.seeds),
                "sha256": checksum,
            }
            for benchmark, checksum in zip(benchmarks, checksums, strict=True)
        },
        "seeds": list(benchmarks[0].seeds),
        "architectures": len(benchmarks[0].space_definition.canonical_codes),
        "metrics": list(TRAINING_METRICS),
        "costs": list(ARCHITECTURE_METRICS),
        "blocks": list(benchmarks[0].space_definition.blocks),
        "files": files,
    }
    (place / "manifest.json").write_text(json.dumps(manifest))
    return place


@pytest.fixture
def three_tasks(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    tasks = [
        make_toy_benchmark(f"task{k}-v1", seed=k, diverged=[(k, 0)], missing=[(9, s) for s in range(k)])
        for k in (1, 2, 3)
    ]
    write_table(tmp_path, tasks)
    return tasks


def test_the_own_task_is_left_out_and_replicates_are_averaged(three_tasks):
    found = scores_on_other_tasks(three_tasks[1], "x")
    assert list(found) == ["task1-v1", "task3-v1"]
    for task in (three_tasks[0], three_tasks[2]):
        np.testing.assert_allclose(found[task.task.id], Objective(task)._scores[:, 0])
    assert np.isnan(found["task3-v1"][9])  # all three replicates are missing
    assert np.isfinite(found["task1-v1"][[1, 9]]).all()


def test_the_last_epoch_of_a_task_with_fewer_than_others(tmp_path, monkeypatch):
    """The epochs' axis is as long as the longest task's; the rest is NaN."""
    monkeypatch.chdir(tmp_path)
    long, short = make_toy_benchmark("long-v1"), make_toy_benchmark("short-v1", seed=1, epochs=(1, 3))
    results, seconds, costs = short._source.arrays
    wanted = results[:, :, 1, 1].astype(float).mean(axis=1)
    padding = [(0, 0), (0, 0), (0, 1)]
    short._source.arrays = (
        np.pad(results, [*padding, (0, 0)], constant_values=np.nan),
        np.pad(seconds, padding, constant_values=np.nan),
        costs,
    )
    write_table(tmp_path, [long, short])
    np.testing.assert_allclose(scores_on_other_tasks(long, "x")["short-v1"], wanted, rtol=1e-6)


def test_a_search_by_portfolio_on_all_tasks(three_tasks, tmp_path):
    report = run_search(["greedy-portfolio", "random"], three_tasks, trials=6, seeds=3, out=tmp_path / "run")
    assert report.failed == 0
    rows = {(row.searcher, row.task): row for row in report.rows}
    assert len(rows) == 6
    # The portfolio is the same in every run: its first architecture is the one of least regret on the others.
    lines = [
        json.loads((tmp_path / f"run/toy-v1/task2-v1/greedy-portfolio/seed-00{seed}.jsonl").read_text().splitlines()[0])
        for seed in range(3)
    ]
    assert len({line["code"] for line in lines}) == 1


def test_a_table_of_other_blocks_or_none_is_refused(three_tasks, tmp_path):
    path = tmp_path / "surrogates" / "toy-v1" / "table" / "manifest.json"
    manifest = json.loads(path.read_text())
    path.write_text(json.dumps({**manifest, "blocks": ["skip", "z"]}))
    with pytest.raises(ArgumentError, match="other architectures"):
        scores_on_other_tasks(three_tasks[0], "x")
    path.unlink()
    with pytest.raises(TableError, match="no table"):
        scores_on_other_tasks(three_tasks[0], "x")
