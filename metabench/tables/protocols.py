"""Rows of a second training protocol, packed beside a table: a sample of its architectures, trained another way."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metabench.content import find_measured
from metabench.datasets.task import Task
from metabench.errors import QueryError, TableError
from metabench.registry import did_you_mean
from metabench.spaces import Space
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS
from metabench.tables.shards import write_together
from metabench.tables.source import Source

__all__ = ["PROTOCOLS", "ProtocolRows", "ProtocolSource", "open_protocol", "write_protocol"]

PROTOCOLS = ("adam", "learned")
"""The table's own, and what else there can be; rows of ``learned`` are in ``surrogates/<space>/learned``."""

_SCHEMA = 1
_ARRAYS = ("codes", "results", "seconds")


class _NotCovered(Exception):
    """A manifest that is whole does not have a task."""


@dataclass(frozen=True)
class ProtocolRows:
    """The rows of one task.

    Attributes:
        codes: canonical codes, ascending, int64 ``(n,)``.
        results: float32 ``(n, seeds, epochs, metrics)`` in the order of ``TRAINING_METRICS``.
        seconds: float32 ``(n, seeds, epochs)``.
    """

    codes: np.ndarray
    results: np.ndarray
    seconds: np.ndarray


def write_protocol(
    home: Path, space: Space, rows: Mapping[str, ProtocolRows], tasks: Mapping[str, Task], provenance: Mapping[str, Any]
) -> Path:
    """Writes one ``<task>.npz`` a task and ``manifest.json``, all together.

    Args:
        home: the folder, ``surrogates/<space>/<protocol>``.
        space: the space.
        rows: task id -> its rows.
        tasks: task id -> the task.
        provenance: by what, and how, the rows were trained; anything JSON can hold.
    """
    files: dict[Path, bytes] = {}
    about: dict[str, Any] = {}
    for name, found in rows.items():
        buffer = io.BytesIO()
        np.savez_compressed(buffer, **{array: getattr(found, array) for array in _ARRAYS})
        files[home / f"{name}.npz"] = content = buffer.getvalue()
        about[name] = {
            "sha256": hashlib.sha256(content).hexdigest(),
            "bytes": len(content),
            "architectures": len(found.codes),
            "seeds": list(range(found.results.shape[1])),
            "epochs": list(tasks[name].epochs),
        }
    manifest = {
        "schema_version": _SCHEMA,
        "space": space.id,
        "blocks": list(space.blocks),
        "metrics": list(TRAINING_METRICS),
        "tasks": about,
        **provenance,
    }
    files[home / "manifest.json"] = (json.dumps(manifest, indent=2) + "\n").encode()
    write_together(files)
    return home


class ProtocolSource(Source):
    """A sample of a table's architectures under another protocol; costs, the same for all, are the table's."""

    fixed = True
    remedy = "only a sample was trained: 'query_batch' gives NaN for the others, and protocol='adam' has them"

    def __init__(self, space: Space, rows: ProtocolRows, costs: np.ndarray) -> None:
        shape = (len(space.canonical_codes), *rows.results.shape[1:])
        self.seeds = tuple(range(shape[1]))
        results = np.full(shape, np.nan, dtype=np.float32)
        seconds = np.full(shape[:-1], np.nan, dtype=np.float32)
        chosen = space.row_of[rows.codes]
        results[chosen], seconds[chosen] = rows.results, rows.seconds
        self.arrays = (results, seconds, costs)

    def ensure(self, rows: np.ndarray, *, replicates: bool = True) -> bool:
        """A sample has what it has."""
        return False


def open_protocol(
    protocol: str, space: Space, task: Task, costs: np.ndarray | None = None
) -> tuple[ProtocolSource, dict[str, Any]]:
    """The rows of a protocol, and where they come from.

    Args:
        protocol: one of :data:`PROTOCOLS` that is not the table's own.
        space: the space.
        task: the task.
        costs: the table's, ``(architectures, costs)``; NaN if left out.

    Raises:
        QueryError: if there is no such protocol, or it has no rows of this space and task.
        TableError: if a file is damaged (its checksum is named), or of another schema.
    """
    if protocol not in PROTOCOLS:
        raise QueryError(
            f"unknown protocol {protocol!r}.{did_you_mean(str(protocol), PROTOCOLS)} Known: {', '.join(PROTOCOLS)}."
        )
    home = find_measured(f"{space.id}/{protocol}", "manifest.json")
    how = f"'python -m metabench.learned.second_protocol OPTIMIZER --space {space.id} --tasks {task.id} --out FILE'"
    if home is None:
        raise QueryError(f"space {space.id!r} has no rows of protocol {protocol!r}; train some with {how}.")
    try:
        manifest = json.loads((home / "manifest.json").read_text(encoding="utf-8"))
        if manifest["schema_version"] != _SCHEMA:
            raise ValueError(f"schema {manifest['schema_version']!r}; this metabench reads {_SCHEMA}")
        if manifest["metrics"] != list(TRAINING_METRICS) or tuple(manifest["blocks"]) != space.blocks:
            raise ValueError("other metrics or blocks than this metabench has")
        about = dict(manifest["tasks"])
        if task.id not in about:
            raise _NotCovered(f"protocol {protocol!r} of {space.id!r} covers {', '.join(about)}, not {task.id!r}")
        content = (home / f"{task.id}.npz").read_bytes()
        found, wanted = hashlib.sha256(content).hexdigest(), about[task.id]["sha256"]
        if found != wanted:
            raise ValueError(f"checksum {found[:12]}... of {task.id}.npz, not {wanted[:12]}...")
        with np.load(io.BytesIO(content), allow_pickle=False) as file:
            rows = ProtocolRows(*(file[array] for array in _ARRAYS))
        shape = (len(rows.codes), len(about[task.id]["seeds"]), len(task.epochs), len(TRAINING_METRICS))
        if rows.results.shape != shape or rows.seconds.shape != shape[:-1]:
            raise ValueError(f"results {rows.results.shape}, not {shape}")
    except _NotCovered as error:
        raise QueryError(f"{error}; train them with {how}.") from None
    except (OSError, ValueError, LookupError, TypeError) as error:
        raise TableError(f"{home}: cannot be read ({error}); restore it.") from error
    if costs is None:
        costs = np.full((len(space.canonical_codes), len(ARCHITECTURE_METRICS)), np.nan, dtype=np.float32)
    provenance = {"kind": "table", "protocol": protocol, "sha256": wanted}
    provenance |= {key: manifest[key] for key in ("optimizer", "command", "builds") if key in manifest}
    return ProtocolSource(space, rows, costs), provenance
