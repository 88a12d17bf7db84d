"""Finished rows on disk: one small JSON file each, named by its content address, written by atomic rename."""

from __future__ import annotations

import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

from metabench.content import folder
from metabench.errors import TableError

__all__ = ["read_row", "shard_path", "table_home", "write_atomically", "write_row"]


def table_home(space_id: str, out: Path | None = None) -> Path:
    """A space's data: ``out``, else ``surrogates/<space>`` of the checkout or of the working directory."""
    if out is not None:
        return out
    root = folder("surrogates")
    checkout = root.parent.name != "_content"
    return (root if checkout else Path.cwd() / "surrogates") / space_id


def shard_path(home: Path, task_id: str, key: str) -> Path:
    """Where the row with content address ``key`` is kept."""
    return home / "shards" / task_id / f"{key}.json"


def write_atomically(path: Path, data: bytes) -> None:
    """Writes a file so that a reader, or the next run after a kill, sees all of it or nothing."""
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with open(partial, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    except OSError as error:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
        raise TableError(
            f"{path}: cannot be written: {error.strerror}; make room or choose another folder, and run again."
        ) from error


def write_row(home: Path, key: str, row: dict[str, Any]) -> None:
    """Keeps one finished row."""
    write_atomically(shard_path(home, row["task"], key), json.dumps(row, indent=0).encode())


def read_row(path: Path) -> dict[str, Any]:
    """Reads one finished row.

    Raises:
        TableError: if the file is damaged.
    """
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TableError(f"{path}: damaged row ({error}); delete the file and build again.") from error
