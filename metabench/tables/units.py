"""The unit of work of a table: one architecture on one task, trained with a batch of seeds."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path
from typing import Any

from metabench.blocks import BLOCKS
from metabench.datasets import Task
from metabench.spaces.architecture import Architecture

__all__ = ["Unit", "protocol_hash", "row_key", "run_unit"]

TRAINER_VERSION = 1  # raised when the trainer's numerics change


@dataclass(frozen=True)
class Unit:
    """Everything a worker needs; definitions travel inside, so a worker needs no file of the user's."""

    architecture: Architecture
    task: Task
    width: int
    seeds: tuple[int, ...]


def protocol_hash(architecture: Architecture, task: Task, width: int) -> str:
    """SHA-256 of all that decides a row's numbers: trainer, blocks' versions, width, data and training protocol."""
    text = json.dumps(
        {
            "trainer": TRAINER_VERSION,
            "blocks": [[name, BLOCKS.get(name).version] for name in architecture.blocks],
            "width": width,
            "data": [task.dataset, task.parameters, task.splits, task.checksum],
            "protocol": asdict(task.protocol),
        },
        sort_keys=True,
    )
    return hashlib.sha256(text.encode()).hexdigest()


def row_key(architecture: Architecture, task: Task, width: int, seed: int) -> str:
    """The content address of one row: architecture x task x seed x protocol hash, 24 hexadecimal digits."""
    text = f"{architecture}|{task.id}|{seed}|{protocol_hash(architecture, task, width)}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


@lru_cache(maxsize=1)
def _where() -> dict[str, str]:
    folder = Path(__file__).resolve().parents[2]
    commit = "unknown"
    if (folder / ".git").exists():
        command = ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        commit = found.stdout.strip() or "uncommitted"
    return {
        "commit": commit,
        "machine": f"{platform.system()} {platform.machine()}, Python {platform.python_version()}",
        "torch": version("torch"),
    }


def run_unit(unit: Unit) -> list[dict[str, Any]]:
    """Trains a unit in this process, on one thread, and returns one JSON-ready row a seed."""
    import torch

    from metabench.datasets import load_splits
    from metabench.training import METRICS, measure_cost, train

    torch.set_num_threads(1)
    splits = load_splits(unit.task)
    curve = train(unit.architecture, unit.task, splits, unit.width, unit.seeds)
    cost = measure_cost(unit.architecture, splits.train_x.shape[1], splits.classes, unit.width)
    provenance = {**_where(), "date": datetime.now(UTC).date().isoformat()}
    return [
        {
            "architecture": str(unit.architecture),
            "task": unit.task.id,
            "seed": seed,
            "protocol": protocol_hash(unit.architecture, unit.task, unit.width),
            "epochs": list(curve.epochs),
            "metrics": list(METRICS),
            "values": [[repr(float(v)) for v in row] for row in curve.values[i]],
            "seconds": curve.seconds.tolist(),
            "cost": asdict(cost),
            "provenance": provenance,
        }
        for i, seed in enumerate(unit.seeds)
    ]
