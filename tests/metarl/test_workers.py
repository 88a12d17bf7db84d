"""Seeds in processes and on Dask are the same seeds."""

from __future__ import annotations

from pathlib import Path

import pytest

import metabench
from metabench.errors import ArgumentError
from metabench.metarl.agent import Rollout
from metabench.metarl.settings import Settings
from metabench.metarl.varibad import VariBAD
from metabench.seeding import derive

GRID = "grid-navigation-v0"
FILES = ("seed-000/metrics.jsonl", "seed-001/metrics.jsonl", "seed-001/checkpoint.pt")


@pytest.mark.slow
def test_processes_and_dask_give_the_bytes_of_this_process(small: Settings, tmp_path: Path) -> None:
    from distributed import LocalCluster

    reports = [metabench.explore("varibad", GRID, seeds=2, settings=small, out=tmp_path / "here", workers=1)]
    reports.append(metabench.explore("varibad", GRID, seeds=2, settings=small, out=tmp_path / "processes", workers=2))
    with LocalCluster(n_workers=1, threads_per_worker=1, dashboard_address=None) as cluster:
        address = cluster.scheduler_address
        report = metabench.explore("varibad", GRID, seeds=2, settings=small, out=tmp_path / "dask", scheduler=address)
        reports.append(report)
    assert reports[0].seeds == reports[1].seeds == reports[2].seeds
    for file in FILES:
        whole = {(tmp_path / name / file).read_bytes() for name in ("here", "processes", "dask")}
        assert len(whole) == 1


def test_no_scheduler_is_one_clear_line(small: Settings, tmp_path: Path) -> None:
    with pytest.raises(ArgumentError, match="no Dask scheduler answers at 'nowhere'"):
        metabench.explore("varibad", GRID, settings=small, out=tmp_path / "run", scheduler="nowhere")


def test_one_seed_that_diverges_does_not_stop_the_others(
    small: Settings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    original, poisoned_seed = VariBAD.update, derive("varibad", 0)

    def poisoned(self: VariBAD, rollout: Rollout, frames: int) -> dict[str, float]:
        metrics = original(self, rollout, frames)
        bad = self.generator.initial_seed() == poisoned_seed
        return metrics | ({"losses/elbo": float("inf")} if bad else {})

    monkeypatch.setattr(VariBAD, "update", poisoned)
    report = metabench.explore("varibad", GRID, seeds=2, settings=small, out=tmp_path / "run", workers=1)
    assert [result.seed for result in report.seeds] == [1]
    assert report.notes[0].startswith("seed 0: varibad on grid-navigation-v0, seed 0: losses/elbo became inf")
