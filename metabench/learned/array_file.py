"""A checkpoint in one file: nested dictionaries of tensors and a JSON document, written by an atomic rename."""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metabench.errors import RunFolderError
from metabench.files import replace_file

__all__ = ["Tree", "read_arrays", "write_arrays"]

Tree = dict[str, Any]
"""Tensors, or such dictionaries, by name; names have no slash."""

_DOCUMENT = "document.json"


def _flat(tree: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in tree.items():
        if isinstance(value, Mapping):
            flat |= _flat(value, f"{prefix}{name}/")
        else:
            flat[prefix + name] = value.detach().numpy()
    return flat


def write_arrays(path: Path, tree: Tree, document: Mapping[str, Any]) -> None:
    """Writes ``tree`` and ``document``; a reader sees the old file or the new one, never a part."""
    buffer = io.BytesIO()
    text = np.frombuffer(json.dumps(document).encode(), dtype=np.uint8)
    np.savez(buffer, **{_DOCUMENT: text}, **_flat(tree))  # pyright: ignore[reportArgumentType]
    path.parent.mkdir(parents=True, exist_ok=True)
    replace_file(path, buffer.getvalue())


def read_arrays(path: Path) -> tuple[Tree, dict[str, Any]]:
    """Reads what :func:`write_arrays` wrote; empty dictionaries inside the tree are not kept.

    Raises:
        RunFolderError: if the file is not one of these.
    """
    tree: Tree = {}
    try:
        with np.load(path, allow_pickle=False) as arrays:
            document = json.loads(arrays[_DOCUMENT].tobytes())
            for name in arrays.files:
                if name == _DOCUMENT:
                    continue
                *parents, last = name.split("/")
                place = tree
                for parent in parents:
                    place = place.setdefault(parent, {})
                value: Tensor = torch.from_numpy(arrays[name].copy())
                place[last] = value
    except (OSError, ValueError, KeyError, zipfile.BadZipFile) as error:
        raise RunFolderError(f"{path}: not a checkpoint that can be read ({error!r}); give another --out.") from error
    return tree, document
