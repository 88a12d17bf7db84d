"""What each architecture of a space costs, measured alone: no training runs beside it."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import astuple
from pathlib import Path

import numpy as np

from metabench.blocks import BLOCKS
from metabench.content import identifiers
from metabench.datasets import Task, load_splits, load_task
from metabench.errors import ArgumentError, TableError
from metabench.spaces import Architecture, Space, load_tabular_space
from metabench.tables.result import ARCHITECTURE_METRICS
from metabench.tables.shards import lock_table, table_home, write_atomically
from metabench.tables.units import check_trainable, provenance

__all__ = ["measure_costs", "read_costs"]

_WRITE_EVERY = 50
_QUIET = 1.5  # load average over a minute up to which a machine counts as quiet; this process is 1 of it


def _key(architecture: Architecture, task: Task, width: int) -> str:
    """What decides an architecture's costs: its blocks' versions, the width, and the task's arrays."""
    blocks = [[name, BLOCKS.get(name).version] for name in architecture.blocks]
    text = json.dumps([blocks, width, task.checksum])
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def _path(home: Path, task: Task) -> Path:
    return home / "costs" / f"{task.id}.npz"


def read_costs(space: Space, task: Task, home: Path) -> dict[Architecture, np.ndarray]:
    """The measured costs of a task's architectures, float64 in the order of ``ARCHITECTURE_METRICS``; may be empty.

    What was measured of other versions of the blocks is left out.

    Raises:
        TableError: if the file is damaged.
    """
    path = _path(home, task)
    if not path.exists():
        return {}
    try:
        with np.load(path, allow_pickle=False) as file:
            header, values = json.loads(str(file["header"])), file["values"]
        if header["costs"] != list(ARCHITECTURE_METRICS) or len(values) != len(header["keys"]):
            raise ValueError("axes are not this version's")
    except Exception as error:  # a damaged archive raises many kinds
        raise TableError(f"{path}: damaged costs ({error}); delete the file and measure again.") from error
    found = dict(zip(header["keys"], values, strict=True))
    architectures = (space.architecture(int(code)) for code in space.canonical_codes)
    return {a: found[key] for a in architectures if (key := _key(a, task, space.width)) in found}


def _write(space: Space, task: Task, home: Path, costs: dict[Architecture, np.ndarray]) -> None:
    header = {
        "task": task.id,
        "costs": list(ARCHITECTURE_METRICS),
        "keys": [_key(architecture, task, space.width) for architecture in costs],
        "provenance": {**provenance(), "load": os.getloadavg()[0]},
        "licence": "Apache-2.0",
        "command": f"metabench measure {space.id} --tasks {task.id}",
    }
    buffer = io.BytesIO()
    np.savez_compressed(buffer, header=np.array(json.dumps(header)), values=np.array(list(costs.values())))
    write_atomically(_path(home, task), buffer.getvalue())


def measure_costs(
    space: str,
    tasks: Sequence[str] | None = None,
    *,
    out: Path | None = None,
    busy: bool = False,
    progress: Callable[[int, int], None] | None = None,
) -> dict[str, int]:
    """Measures every architecture that has no costs yet, one after another in this process on one thread.

    Args:
        space: id, or path of the user's own definition.
        tasks: ids or paths; all shipped data sets if left out.
        out: the space's folder; ``surrogates/<space>`` by default.
        busy: measure on a busy machine too.
        progress: told how many architectures of how many are done.

    Returns:
        The number of architectures measured now, by task.

    Raises:
        ArgumentError: on a busy machine: latency is measured alone or not at all.
        MetabenchError: for a bad definition, or if the folder cannot be written; what is finished is kept.
    """
    import torch

    from metabench.training import measure_cost

    torch.set_num_threads(1)
    definition = load_tabular_space(space)
    chosen = [load_task(name) for name in (tasks or identifiers("tasks", of="dataset"))]
    check_trainable(definition, chosen)
    if not busy and os.getloadavg()[0] > _QUIET:
        raise ArgumentError(
            f"this machine is busy (load {os.getloadavg()[0]:.1f}, expected at most {_QUIET}): latencies would be "
            "wrong; wait until it is quiet, or pass --busy."
        )
    home = table_home(definition.id, out)
    counts = {}
    with lock_table(home):
        for task in chosen:
            splits, costs = load_splits(task), read_costs(definition, task, home)
            every = [definition.architecture(int(code)) for code in definition.canonical_codes]
            left = [architecture for architecture in every if architecture not in costs]
            for i, architecture in enumerate(left, 1):
                cost = measure_cost(architecture, splits.train_x.shape[1], splits.classes, definition.width)
                costs[architecture] = np.array(astuple(cost), dtype=np.float64)
                if i % _WRITE_EVERY == 0 or i == len(left):
                    _write(definition, task, home, costs)
                if progress is not None:
                    progress(i, len(left))
            counts[task.id] = len(left)
    return counts
