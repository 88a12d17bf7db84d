"""Finished units on disk: one small array file each, named by what is in it, written by atomic rename."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metabench.content import folder
from metabench.errors import TableError

__all__ = [
    "Shard",
    "finished_keys",
    "lock_table",
    "read_shards",
    "table_home",
    "write_atomically",
    "write_shard",
    "write_together",
]


@dataclass(frozen=True)
class Shard:
    """The rows of one unit: some architectures, each with some seeds, on one task.

    Attributes:
        task: task id.
        keys: content address of every row, ``keys[architecture][seed]`` (:func:`metabench.tables.units.row_key`).
        architectures: block names, joined by commas.
        seeds: replicates.
        epochs: checkpoint epochs.
        metrics: names of the last axis of ``values``.
        costs: names of the last axis of ``cost``.
        values: float32 ``(architectures, seeds, epochs, metrics)``.
        seconds: float32 ``(architectures, seeds, epochs)``.
        cost: float64 ``(architectures, costs)``.
        provenance: commit, machine, library version and date.
    """

    task: str
    keys: list[list[str]]
    architectures: list[str]
    seeds: list[int]
    epochs: list[int]
    metrics: list[str]
    costs: list[str]
    values: np.ndarray
    seconds: np.ndarray
    cost: np.ndarray
    provenance: dict[str, Any]


_ARRAYS = ("values", "seconds", "cost")


def table_home(space_id: str, out: Path | None = None) -> Path:
    """A space's data: ``out``, else ``surrogates/<space>`` of the checkout or of the working directory."""
    if out is not None:
        return out
    root = folder("surrogates")
    checkout = root.parent.name != "_content"
    return (root if checkout else Path.cwd() / "surrogates") / space_id


@contextmanager
def lock_table(home: Path) -> Iterator[None]:
    """Holds a table for one build at a time; the lock ends with the process, however that ends.

    Raises:
        TableError: if another build holds it, or the folder cannot be written.
    """
    path = home / ".lock"
    try:
        home.mkdir(parents=True, exist_ok=True)
        file = open(path, "a")  # noqa: SIM115 - held until the build ends
    except OSError as error:
        raise TableError(f"{home}: cannot be written: {error.strerror}; choose another folder.") from error
    with file:
        try:
            import fcntl
        except ImportError:  # not a POSIX system: units are written atomically, so two builds only do work twice
            yield
            return
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            raise TableError(
                f"{home}: another build of this table is running; wait for it, or stop it and run this again."
            ) from None
        yield


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that a reader, or the next run after a kill, sees all of it or nothing."""
    write_together({path: data})


def write_together(files: Mapping[Path, bytes]) -> None:
    """Writes files that belong together: nothing is replaced before all of them are on the disk.

    Raises:
        TableError: if the disk is full or cannot be written; then what was there before stays.
    """
    partials = {path: path.with_name(f".{path.name}.{os.getpid()}.partial") for path in files}
    path = next(iter(files))
    try:
        for path, data in files.items():
            path.parent.mkdir(parents=True, exist_ok=True)
            with open(partials[path], "wb") as file:
                file.write(data)
                file.flush()
                os.fsync(file.fileno())
        for path, partial in partials.items():
            os.replace(partial, path)
    except OSError as error:
        raise TableError(
            f"{path}: cannot be written: {error.strerror}; make room or choose another folder, and run again."
        ) from error
    finally:
        for partial in partials.values():
            with suppress(OSError):
                partial.unlink(missing_ok=True)


def write_shard(home: Path, shard: Shard) -> Path:
    """Keeps one finished unit; its file is named by the hash of its rows' content addresses."""
    header = {name: getattr(shard, name) for name in Shard.__annotations__ if name not in _ARRAYS}
    buffer = io.BytesIO()
    np.savez_compressed(buffer, header=np.array(json.dumps(header)), **{name: getattr(shard, name) for name in _ARRAYS})
    name = hashlib.sha256("".join(key for row in shard.keys for key in row).encode()).hexdigest()[:24]
    path = home / "shards" / shard.task / f"{name}.npz"
    write_atomically(path, buffer.getvalue())
    return path


def read_shards(home: Path, task_id: str) -> Iterator[Shard]:
    """The finished units of a task, in the order of their file names.

    Raises:
        TableError: if a file is damaged.
    """
    for path in sorted((home / "shards" / task_id).glob("*.npz")):
        try:
            with np.load(path, allow_pickle=False) as file:
                shard = Shard(**json.loads(str(file["header"])), **{name: file[name] for name in _ARRAYS})
            shape = (len(shard.architectures), len(shard.seeds), len(shard.epochs), len(shard.metrics))
            if shard.values.shape != shape or [len(row) for row in shard.keys] != [shape[1]] * shape[0]:
                raise ValueError(f"values {shard.values.shape} for axes {shape}")
        except Exception as error:  # a damaged archive raises many kinds
            raise TableError(f"{path}: damaged rows ({error}); delete the file and build again.") from error
        yield shard


def finished_keys(home: Path, task_id: str) -> set[str]:
    """The content addresses of a task's finished rows, stale ones too.

    Raises:
        TableError: if a file is damaged.
    """
    return {key for shard in read_shards(home, task_id) for row in shard.keys for key in row}
