"""Packs finished rows into arrays that open by memory map, with a manifest."""

from __future__ import annotations

import hashlib
import io
import json
from collections import Counter
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

import numpy as np

from metabench.datasets import Task
from metabench.errors import TableError
from metabench.spaces import Space
from metabench.tables.costs import read_costs
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS
from metabench.tables.seconds import even_out
from metabench.tables.shards import read_shards, write_together
from metabench.tables.units import CLOCK_VERSION, protocol_hash, row_key

__all__ = ["SCHEMA_VERSION", "pack_rows", "protocols_hash"]

SCHEMA_VERSION = 2  # 2: seeds and checksums of each task apart


def _npy(array: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=False)
    return buffer.getvalue()


def _trained_seeds(results: np.ndarray) -> list[int]:
    """Replicates 0 to the last one that any architecture has; ``results`` is one task's."""
    return list(range(1 + max(np.flatnonzero(~np.isnan(results[:, :, 0, 0]).all(axis=0)), default=-1)))


def protocols_hash(space: Space, tasks: Sequence[Task]) -> str:
    """SHA-256 of the protocols of all rows: what a table's numbers depend on."""
    digest = hashlib.sha256()
    architectures = [space.architecture(int(code)) for code in space.canonical_codes]
    for task in tasks:
        for architecture in architectures:
            digest.update(protocol_hash(architecture, task, space.width).encode())
    return digest.hexdigest()


def pack_rows(space: Space, tasks: Sequence[Task], seeds: int | None, home: Path) -> Path:
    """Writes ``home/table``: three arrays and ``manifest.json``. A row that is not finished is NaN.

    ``results.npy`` holds what training gives, equal on a rebuild; ``seconds.npy`` and the last column of ``costs.npy``
    hold what was timed: training times evened out between units (:mod:`metabench.tables.seconds`), latency alone where
    ``metabench measure`` was run, else beside the trainings. float32, axes
    (task, architecture, seed, epoch, metric), (task, architecture, seed, epoch) and (task, architecture, cost). A row
    whose protocol is no longer the task's or the blocks' is stale, and left out.

    Args:
        space: the space.
        tasks: the tasks.
        seeds: replicates of every task; None is as many as were trained.
        home: the space's folder.

    Raises:
        TableError: if a finished row is damaged or the disk is full; an older table stays as it was.
    """
    codes, epochs = space.canonical_codes, max(len(task.epochs) for task in tasks)
    architectures = [space.architecture(int(code)) for code in codes]
    shards = {task.id: list(read_shards(home, task.id)) for task in tasks}
    found = [1 + max(shard.seeds) for several in shards.values() for shard in several]
    replicates = max(found, default=1) if seeds is None else seeds
    results = np.full((len(tasks), len(codes), replicates, epochs, len(TRAINING_METRICS)), np.nan, dtype=np.float32)
    seconds = np.full(results.shape[:-1], np.nan, dtype=np.float32)
    costs = np.full((len(tasks), len(codes), len(ARCHITECTURE_METRICS)), np.nan, dtype=np.float32)
    provenance: Counter[str] = Counter()
    measured_alone: dict[str, int] = {}
    clocks: dict[str, dict[str, Any]] = {}
    for i, task in enumerate(tasks):
        places = {}
        for j, architecture in enumerate(architectures):
            for seed in range(replicates):
                places[row_key(architecture, task, space.width, seed)] = (j, seed)
        units = np.full((len(codes), replicates), -1)
        trusted = np.zeros(units.shape, dtype=bool)
        for unit, shard in enumerate(shards[task.id]):
            if (shard.metrics, shard.costs) != (list(TRAINING_METRICS), list(ARCHITECTURE_METRICS)):
                raise TableError(f"{home}: a shard's axes are not this version's; delete the shards and build again.")
            for a, keys in enumerate(shard.keys):
                for s, key in enumerate(keys):
                    if key not in places:
                        continue
                    j, seed = places[key]
                    results[i, j, seed, : len(task.epochs)] = shard.values[a, s]
                    seconds[i, j, seed, : len(task.epochs)] = shard.seconds[a, s]
                    costs[i, j] = shard.cost[a]
                    units[j, seed], trusted[j, seed] = unit, shard.provenance.get("clock") == CLOCK_VERSION
                    provenance[json.dumps(shard.provenance, sort_keys=True)] += 1
        evened = even_out(seconds[i], architectures, units, trusted)
        seconds[i], clocks[task.id] = evened.seconds, evened.summary()
        alone = read_costs(space, task, home)
        measured_alone[task.id] = len(alone)
        for j, architecture in enumerate(architectures):
            if architecture in alone:
                costs[i, j] = alone[architecture]
    arrays = {"results.npy": results, "seconds.npy": seconds, "costs.npy": costs}
    files = {name: _npy(array) for name, array in arrays.items()}
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "space": space.id,
        "blocks": list(space.blocks),
        "stages": space.stages,
        "axes": {
            "results.npy": ["task", "architecture", "seed", "epoch", "metric"],
            "seconds.npy": ["task", "architecture", "seed", "epoch"],
            "costs.npy": ["task", "architecture", "cost"],
        },
        "tasks": {
            task.id: {
                "epochs": list(task.epochs),
                "checksum": task.checksum,
                "seeds": _trained_seeds(results[i]),
                "finished": int((~np.isnan(results[i, :, :, 0, 0])).sum()),
                "measured_alone": measured_alone[task.id],
                "seconds": clocks[task.id],
                "sha256": {name: hashlib.sha256(array[i].tobytes()).hexdigest() for name, array in arrays.items()},
            }
            for i, task in enumerate(tasks)
        },
        "architectures": len(codes),
        "seeds": list(range(replicates)),
        "metrics": list(TRAINING_METRICS),
        "costs": list(ARCHITECTURE_METRICS),
        "finished": int((~np.isnan(results[:, :, :, 0, 0])).sum()),
        "protocols": protocols_hash(space, tasks),
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()
        },
        "libraries": {name: version(name) for name in ("torch", "numpy")},
        "provenance": [{**json.loads(text), "trainings": n} for text, n in sorted(provenance.items())],
        "licence": "Apache-2.0",
        "command": f"metabench build --space {space.id} --tasks {' '.join(t.id for t in tasks)}"
        + ("" if seeds is None else f" --seeds {seeds}"),
    }
    folder = home / "table"
    files["manifest.json"] = (json.dumps(manifest, indent=2) + "\n").encode()
    write_together({folder / name: data for name, data in files.items()})
    return folder
