"""Checkpoints: plain tensors, numbers and strings, written by atomic rename and read without unpickling objects."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from metabench.errors import CheckpointError
from metabench.metarl.settings import complete_settings

__all__ = ["Checkpoint", "Identity", "first_nonfinite", "load_checkpoint", "save_checkpoint"]

SCHEMA = 1


@dataclass(frozen=True)
class Identity:
    """What a checkpoint belongs to.

    Attributes:
        agent: registered name.
        env: environment id, with its parameters.
        seed: of the run.
        settings: as JSON.
    """

    agent: str
    env: str
    seed: int
    settings: str


@dataclass(frozen=True)
class Checkpoint:
    """A run's state after some updates.

    Attributes:
        identity: what it belongs to.
        updates: updates done.
        state: the agent's.
    """

    identity: Identity
    updates: int
    state: Mapping[str, Any]


def save_checkpoint(path: Path, checkpoint: Checkpoint) -> None:
    """Writes a file that is either wholly there or not at all."""
    document = {
        "schema": SCHEMA,
        **vars(checkpoint.identity),
        "updates": checkpoint.updates,
        "state": dict(checkpoint.state),
    }
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    with temporary.open("wb") as file:  # by handle: the archive would carry a path's name
        torch.save(document, file)
        file.flush()
        os.fsync(file.fileno())
    os.replace(temporary, path)


def load_checkpoint(path: Path, expected: Identity | None = None) -> Checkpoint:
    """Reads a checkpoint.

    Args:
        path: its file.
        expected: what it must belong to; None takes any.

    Raises:
        CheckpointError: if it is missing or damaged, or another agent's, environment's, seed's or settings'.
    """
    try:
        with path.open("rb") as file:
            document = torch.load(file, weights_only=True)
        if document["schema"] != SCHEMA:
            raise CheckpointError(f"{path}: schema {document['schema']}; this version reads {SCHEMA}.")
        identity = Identity(*(document[key] for key in ("agent", "env", "seed", "settings")))
        checkpoint = Checkpoint(identity, document["updates"], document["state"])
    except FileNotFoundError as error:
        raise CheckpointError(
            f"no checkpoint {path}; this seed was not trained yet: metabench explore makes it."
        ) from error
    except CheckpointError:
        raise
    except Exception as error:  # torch's restricted unpickler raises whatever it stumbles over
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise CheckpointError(f"{path} is damaged ({reason}); remove it and start again.") from error
    if expected is not None:
        _compare(path, identity, expected)
    return checkpoint


def _compare(path: Path, found: Identity, expected: Identity) -> None:
    for key in ("agent", "env", "seed"):
        there, wanted = getattr(found, key), getattr(expected, key)
        if there != wanted:
            raise CheckpointError(f"{path} is of {key} {there!r}, not {wanted!r}; choose another --out.")
    there, wanted = complete_settings(json.loads(found.settings)), json.loads(expected.settings)
    unlike = [key for key in {**there, **wanted} if there.get(key) != wanted.get(key)]
    if unlike:
        key = unlike[0]
        raise CheckpointError(
            f"{path} was made with {key} {there.get(key)!r}, not {wanted.get(key)!r}; "
            "resume with the same settings, or choose another --out."
        )


def first_nonfinite(state: Any, name: str = "") -> str | None:
    """The name of the first tensor in nested dicts and lists that holds NaN or an infinity; None if all are finite."""
    for place, tensor in _tensors(state, name):
        if tensor.dtype.is_floating_point and not bool(torch.isfinite(tensor).all()):
            return place
    return None


def _tensors(state: Any, name: str) -> Iterator[tuple[str, Tensor]]:
    if isinstance(state, Tensor):
        yield name, state
        return
    if isinstance(state, Mapping):
        entries = state.items()
    elif isinstance(state, list | tuple):
        entries = enumerate(state)
    else:
        return
    for key, value in entries:
        yield from _tensors(value, f"{name}.{key}" if name else str(key))
