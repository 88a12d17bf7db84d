"""A packed table, opened by memory map and checked against its manifest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metabench.content import find_measured, folder
from metabench.errors import TableError
from metabench.tables.pack import SCHEMA_VERSION

__all__ = ["Table", "find_table", "open_table"]


_ARRAYS = ("results.npy", "seconds.npy", "costs.npy")


@dataclass(frozen=True)
class Table:
    """The three arrays (see :func:`metabench.tables.pack.pack_rows`), read-only, and the manifest."""

    results: np.ndarray
    seconds: np.ndarray
    costs: np.ndarray
    manifest: dict[str, Any]
    folder: Path


def find_table(space_id: str) -> Path:
    """The folder of a space's packed table: under ``surrogates`` of the working directory, else the shipped one.

    Raises:
        TableError: if there is none; the message says how to build it.
    """
    place = find_measured(f"{space_id}/table", "manifest.json")
    if place is not None:
        return place
    shipped = sorted(path.parent.parent.name for path in folder("surrogates").glob("*/table/manifest.json"))
    raise TableError(
        f"space {space_id!r} has no table here; build it with 'metabench build --space {space_id}', or use one that is "
        f"shipped: {', '.join(shipped) or 'none'}."
    )


def _read_manifest(place: Path) -> dict[str, Any]:
    path = place / "manifest.json"
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        schema = manifest["schema_version"]
        if not isinstance(schema, int):
            raise ValueError(f"schema_version is {schema!r}")
        if schema == SCHEMA_VERSION:
            _shapes(manifest)
            for about in (*manifest["tasks"].values(), {"sha256": manifest["files"]}):
                _ = [about["sha256"][name] for name in _ARRAYS]
    except (OSError, ValueError, LookupError, TypeError, AttributeError) as error:
        raise TableError(f"{path}: not a readable manifest ({error!r}); pack the table again.") from error
    if schema != SCHEMA_VERSION:
        newer = schema > SCHEMA_VERSION
        raise TableError(
            f"{place}: table schema {schema} is {'newer' if newer else 'older'} than this metabench reads "
            f"({SCHEMA_VERSION}); {'upgrade metabench' if newer else 'pack the table again'}."
        )
    return manifest


def _shapes(manifest: dict[str, Any]) -> dict[str, tuple[int, ...]]:
    """The shapes that the manifest's axes give the arrays."""
    tasks, metrics, costs = (len(manifest[axis]) for axis in ("tasks", "metrics", "costs"))
    epochs = max(len(about["epochs"]) for about in manifest["tasks"].values())
    if any(len(about["seeds"]) > len(manifest["seeds"]) for about in manifest["tasks"].values()):
        raise ValueError("a task has more seeds than the table")
    seconds = (tasks, int(manifest["architectures"]), len(manifest["seeds"]), epochs)
    return {"results.npy": (*seconds, metrics), "seconds.npy": seconds, "costs.npy": (*seconds[:2], costs)}


def _load(path: Path, listed: dict[str, Any], shape: tuple[int, ...]) -> np.ndarray:
    try:
        size = path.stat().st_size
        if size != listed["bytes"]:
            raise TableError(
                f"{path}: {size} of {listed['bytes']} bytes, so its checksum cannot be the manifest's "
                f"{listed['sha256'][:12]}...: truncated or altered; restore it, or run 'metabench pack'."
            )
        array = np.load(path, mmap_mode="r", allow_pickle=False)
        # the checksum of a task's part says nothing about the header
        if array.shape != shape or array.dtype != np.dtype("<f4") or not array.flags.c_contiguous:
            raise ValueError(f"{array.dtype.str} {array.shape}, not <f4 {shape}")
        return array
    except (OSError, LookupError, ValueError, TypeError, SyntaxError) as error:
        raise TableError(f"{path}: cannot be read ({error}); restore it or run 'metabench pack'.") from error


def open_table(place: Path, task_id: str | None = None) -> Table:
    """Opens a packed table.

    Args:
        place: its folder.
        task_id: the task whose part of the arrays is checked against its checksum; None checks all.

    Raises:
        TableError: if a file is missing, truncated or altered (its checksum is named), or of another schema.
    """
    manifest = _read_manifest(place)
    arrays = {}
    for name, shape in _shapes(manifest).items():
        array = arrays[name] = _load(place / name, manifest["files"][name], shape)
        for i, (task, about) in enumerate(manifest["tasks"].items()):
            if task_id not in (None, task):
                continue
            found, wanted = hashlib.sha256(array[i]).hexdigest(), about["sha256"][name]
            if found != wanted:
                raise TableError(
                    f"{place / name}: checksum {found[:12]}... for {task}, not {wanted[:12]}...: altered; "
                    "restore it, or run 'metabench pack'."
                )
    return Table(arrays["results.npy"], arrays["seconds.npy"], arrays["costs.npy"], manifest, place)
