"""The unit of work of a table: a group of architectures on one task, trained with a batch of seeds."""

from __future__ import annotations

import hashlib
import json
import platform
import subprocess
from collections.abc import Sequence
from dataclasses import asdict, astuple, dataclass, fields
from datetime import UTC, datetime
from functools import lru_cache
from importlib.metadata import version
from pathlib import Path

import numpy as np

from metabench.blocks import BLOCKS
from metabench.datasets import Task
from metabench.errors import ArgumentError
from metabench.spaces import Space
from metabench.spaces.architecture import Architecture
from metabench.tables.agent_task import is_agent_task
from metabench.tables.shards import Shard

__all__ = ["CLOCK_VERSION", "Unit", "check_trainable", "protocol_hash", "provenance", "row_key", "run_unit"]

TRAINER_VERSION = 2  # raised when the trainer's numerics change
CLOCK_VERSION = 2  # raised when a training takes another time and gives the same numbers


@dataclass(frozen=True)
class Unit:
    """Everything a worker needs; definitions travel inside, so a worker needs no file of the user's."""

    architectures: tuple[Architecture, ...]
    task: Task
    width: int
    seeds: tuple[int, ...]
    device: str = "cpu"


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


def check_trainable(space: Space, tasks: Sequence[Task]) -> None:
    """Refuses classifiers on an environment and agents on a data set.

    Raises:
        ArgumentError: naming the task.
    """
    for task in tasks:
        if is_agent_task(task) != (space.kind == "agent"):
            found = "an environment" if is_agent_task(task) else "a data set"
            wanted = "agents, trained on environments" if space.kind == "agent" else "classifiers, trained on data sets"
            raise ArgumentError(f"task {task.id!r} is {found}; space {space.id!r} is of {wanted}.")


def row_key(architecture: Architecture, task: Task, width: int, seed: int) -> str:
    """The content address of one row: architecture x task x seed x protocol hash, 24 hexadecimal digits."""
    text = f"{architecture}|{task.id}|{seed}|{protocol_hash(architecture, task, width)}"
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def provenance(device: str = "cpu") -> dict[str, str]:
    """Commit, machine, library versions and date, of what is measured here and now."""
    return {**_where(device), "date": datetime.now(UTC).date().isoformat()}


@lru_cache(maxsize=4)
def _where(device: str) -> dict[str, str]:
    from metabench.layers.fixed_point.compiled import has_compiler

    folder = Path(__file__).resolve().parents[2]
    commit = "unknown"
    if (folder / ".git").exists():
        command = ["git", "-C", str(folder), "rev-parse", "--short=12", "HEAD"]
        found = subprocess.run(command, capture_output=True, text=True, check=False)
        commit = found.stdout.strip() or "uncommitted"
    machine = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    if device != "cpu":
        import torch

        machine = f"{machine}, {torch.cuda.get_device_name(device)}"
    return {
        "commit": commit,
        "machine": machine,
        "torch": version("torch"),
        **({"numba": version("numba")} if has_compiler() else {}),
    }


def run_unit(unit: Unit) -> Shard:
    """Trains a unit in this process, on one thread and the unit's device; costs are those of a CPU, or NaN."""
    import torch

    from metabench.datasets import load_splits
    from metabench.training import METRICS, Cost, measure_cost, train_group

    torch.set_num_threads(1)
    task = unit.task
    cost = np.full((len(unit.architectures), len(fields(Cost))), np.nan)
    if is_agent_task(task):
        from metabench.tables.agent_units import measure_agent, train_agent

        rows = [[train_agent(a, task, unit.width, seed) for seed in unit.seeds] for a in unit.architectures]
        values = np.array([[curve for curve, _ in row] for row in rows])
        seconds = np.array([[spent for _, spent in row] for row in rows])
        costs = [measure_agent(a, task, unit.width) for a in unit.architectures]
    else:
        splits = load_splits(task)
        curves = train_group(unit.architectures, task, splits, unit.width, unit.seeds, unit.device)
        values = np.stack([curve.values for curve in curves])
        seconds = np.stack([curve.seconds for curve in curves])
        inputs, alone = splits.train_x.shape[1], unit.architectures if unit.device == "cpu" else ()
        costs = [measure_cost(a, inputs, splits.classes, unit.width) for a in alone]
    if costs:
        cost[:] = [astuple(one) for one in costs]
    return Shard(
        task=task.id,
        keys=[[row_key(a, task, unit.width, seed) for seed in unit.seeds] for a in unit.architectures],
        architectures=[str(a) for a in unit.architectures],
        seeds=list(unit.seeds),
        epochs=list(task.epochs),
        metrics=list(METRICS),
        costs=[field.name for field in fields(Cost)],
        values=values,
        seconds=seconds.astype(np.float32),
        cost=cost,
        provenance={**provenance(unit.device), "clock": CLOCK_VERSION if unit.device == "cpu" else 0},
    )
