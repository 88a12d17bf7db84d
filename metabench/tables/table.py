"""A packed table, opened by memory map and checked against its manifest."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metabench.content import folder
from metabench.errors import TableError
from metabench.tables.pack import SCHEMA_VERSION

__all__ = ["Table", "find_table", "open_table"]


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
    places = [Path.cwd() / "surrogates" / space_id / "table", folder("surrogates") / space_id / "table"]
    for place in places:
        if (place / "manifest.json").is_file():
            return place
    shipped = sorted(path.parent.parent.name for path in folder("surrogates").glob("*/table/manifest.json"))
    raise TableError(
        f"space {space_id!r} has no table here; build it with 'metabench build --space {space_id}', or use one that is "
        f"shipped: {', '.join(shipped) or 'none'}."
    )


def open_table(place: Path) -> Table:
    """Opens a packed table.

    Raises:
        TableError: if a file is missing, truncated or altered (its checksum is named), or of a newer schema.
    """
    try:
        manifest = json.loads((place / "manifest.json").read_text(encoding="utf-8"))
        schema = manifest["schema_version"]
        listed = manifest["files"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(
            f"{place / 'manifest.json'}: not a readable manifest ({error}); pack the table again."
        ) from error
    if schema > SCHEMA_VERSION:
        raise TableError(
            f"{place}: table schema {schema} is newer than this metabench reads ({SCHEMA_VERSION}); upgrade metabench."
        )
    arrays = {}
    for name in ("results.npy", "seconds.npy", "costs.npy"):
        path = place / name
        try:
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            wanted = listed[name]["sha256"]
            if found != wanted:
                raise TableError(
                    f"{path}: checksum {found[:12]}..., not the manifest's {wanted[:12]}... ({path.stat().st_size} of "
                    f"{listed[name]['bytes']} bytes): truncated or altered; restore it, or run 'metabench pack'."
                )
            arrays[name] = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, KeyError, ValueError) as error:
            raise TableError(f"{path}: cannot be read ({error}); restore it or run 'metabench pack'.") from error
    return Table(arrays["results.npy"], arrays["seconds.npy"], arrays["costs.npy"], manifest, place)
