"""Made-up run folders in the documented format, so that statistics and pages are tested on many tasks."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

TASKS = ("cells9-v1/hills-v1", "cells9-v1/plains-v1", "cells9-v1/coast-v1")
SEARCHERS = ("random", "regularized-evolution", "local-search")


def write_run_folder(
    folder: Path,
    *,
    searchers: tuple[str, ...] = SEARCHERS,
    tasks: tuple[str, ...] = TASKS,
    seeds: int = 4,
    trials: int = 30,
    speed: dict[str, float] | None = None,
    **plan: Any,
) -> Path:
    """A folder of made-up searches; ``speed`` says how fast each searcher's regret falls.

    The space has no shipped table. Every number follows from the names and seeds.
    """
    folder.mkdir(parents=True, exist_ok=True)
    benchmarks = [
        {"id": task, "space": task.partition("/")[0], "architectures": 900, "epochs": [1, 20], "replicates": [0, 1, 2]}
        | {"table": {"sha256": "ab" * 32}, "regret": True}
        for task in tasks
    ]
    whole = {"schema": 1, "version": "0.1.0", "kind": "table", "searchers": list(searchers), "benchmarks": benchmarks}
    whole |= {"trials": trials, "seeds": seeds} | plan
    (folder / "run.json").write_text(json.dumps(whole))
    speed = speed or {}
    for searcher in searchers:
        for number, task in enumerate(tasks):
            for seed in range(seeds):
                lines = made_up_run(searcher, number, seed, trials, speed.get(searcher, 0.4 + 0.2 * len(searcher) / 10))
                write_run(folder, task, searcher, seed, lines)
    return folder


def write_run(folder: Path, task: str, searcher: str, seed: int, trials: list[dict[str, Any]]) -> Path:
    path = folder / task / searcher / f"seed-{seed:03d}.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text("".join(f"{json.dumps(trial)}\n" for trial in trials))
    return path


def made_up_run(searcher: str, task: int, seed: int, trials: int, speed: float) -> list[dict[str, Any]]:
    generator = np.random.default_rng([*searcher.encode(), task, seed])
    seconds, regret, best = 0.0, 1.0, 0
    found = []
    for number in range(trials):
        seconds += float(generator.gamma(4.0, 0.5))
        fresh = 0.2 * float(generator.gamma(1.5, 0.4)) * (number + 1) ** -speed * (1 + 0.3 * task)
        if fresh < regret:
            regret, best = fresh, int(generator.integers(900))
        found.append(
            {
                "number": number,
                "code": best if fresh == regret else int(generator.integers(900)),
                "architecture": "mlp.deq,skip",
                "epoch": 20,
                "seed": int(generator.integers(3)),
                "val_score": 0.9 - fresh,
                "status": "ok",
                "simulated_seconds": seconds,
                "overhead_seconds": 2e-5 * (number + 1),
                "incumbent": best,
                "val_regret": 0.8 * regret,
                "test_regret": regret,
                "evaluations": float(number + 1),
            }
        )
    return found


def _everything() -> SimpleNamespace:
    return SimpleNamespace(folder=write_run_folder, run=write_run, trials=made_up_run, TASKS=TASKS, SEARCHERS=SEARCHERS)


@pytest.fixture
def made_up() -> SimpleNamespace:
    """``folder`` and ``run`` write a folder and one run's file; ``trials`` makes trials; ``TASKS``, ``SEARCHERS``."""
    return _everything()


@pytest.fixture(scope="module")
def module_made_up() -> SimpleNamespace:
    """The same for fixtures that live as long as a module."""
    return _everything()
