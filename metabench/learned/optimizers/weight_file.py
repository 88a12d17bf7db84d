"""Weights on disk: ``weights.npz`` and ``manifest.json`` in a folder; nothing is pickled."""

from __future__ import annotations

import hashlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, is_dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from metabench.content import folder
from metabench.errors import ArgumentError, ContentError
from metabench.learned.optimizers.rule import UpdateRule, Weights
from metabench.registry import Registry, did_you_mean

__all__ = ["RULES", "load_weights", "save_weights", "shipped", "shipped_folder"]

RULES = Registry(
    "update rule",
    {
        "lstm": "metabench.learned.optimizers.lstm:LSTMRule",
        "mlp": "metabench.learned.optimizers.mlp:MLPRule",
        "sgd": "metabench.learned.optimizers.hand_made:SGD",
        "momentum": "metabench.learned.optimizers.hand_made:Momentum",
        "rmsprop": "metabench.learned.optimizers.hand_made:RMSprop",
        "adam": "metabench.learned.optimizers.hand_made:Adam",
    },
    "metabench.update_rules",
)

_SCHEMA = 1


def shipped_folder() -> Path:
    """Where the shipped weights are, a folder each."""
    return folder("surrogates") / "optimizers"


def shipped() -> tuple[str, ...]:
    """Names of the shipped learned optimizers, sorted."""
    return tuple(sorted(path.parent.name for path in shipped_folder().glob("*/manifest.json")))


def save_weights(home: Path, rule: UpdateRule, weights: Weights, provenance: Mapping[str, Any]) -> Path:
    """Writes weights and manifest; the manifest last, so that a folder with one is whole.

    Args:
        home: the folder; made if needed.
        rule: a frozen dataclass; its settings are recorded.
        weights: its weights.
        provenance: how they were found; anything JSON can hold.

    Returns:
        The folder.
    """
    if not is_dataclass(rule):
        raise ArgumentError(f"{type(rule).__name__} is no dataclass; expected a rule whose fields are its settings.")
    home.mkdir(parents=True, exist_ok=True)
    buffer = io.BytesIO()
    arrays: dict[str, Any] = {name: value.detach().numpy() for name, value in weights.items()}
    np.savez(buffer, **arrays)
    content = buffer.getvalue()
    manifest = {
        "schema": _SCHEMA,
        "kind": rule.kind,
        "version": rule.version,
        "settings": asdict(rule),
        "file": "weights.npz",
        "sha256": hashlib.sha256(content).hexdigest(),
        "provenance": dict(provenance),
    }
    for name, data in (("weights.npz", content), ("manifest.json", (json.dumps(manifest, indent=2) + "\n").encode())):
        draft = home / f".{name}.draft"
        draft.write_bytes(data)
        os.replace(draft, home / name)
    return home


def load_weights(name: str | Path, kind: str | None = None) -> tuple[UpdateRule, Weights, dict[str, Any]]:
    """Reads weights and checks that they are whole, and of a rule and version that this package has.

    Args:
        name: a shipped name, or the folder of the user's own.
        kind: the rule that is expected; any if left out.

    Returns:
        The rule with its settings, its weights, and the manifest.

    Raises:
        ContentError: if there is no such folder, or it is damaged.
        ArgumentError: if the weights are of another rule or version.
    """
    home = Path(name)
    if not home.is_dir():
        home = shipped_folder() / str(name)
    if not (home / "manifest.json").is_file():
        known = shipped()
        listed = ", ".join(known) if known else "none are shipped yet"
        raise ContentError(
            f"no learned optimizer {str(name)!r}.{did_you_mean(str(name), known)} Known: {listed}; or give a folder "
            "that 'metabench meta-train' wrote."
        )
    try:
        manifest = json.loads((home / "manifest.json").read_text(encoding="utf-8"))
        found, version, settings = str(manifest["kind"]), manifest["version"], dict(manifest["settings"])
        expected, schema = manifest["sha256"], manifest["schema"]
        content = (home / "weights.npz").read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContentError(f"{home}: the weights or their manifest cannot be read ({error!r}).") from error
    if schema != _SCHEMA:
        raise ArgumentError(f"{home}: manifest schema {schema!r}; this version reads {_SCHEMA}; update metabench.")
    if kind is not None and found != kind:
        raise ArgumentError(f"{home}: these are weights of optimizer {found!r}; expected {kind!r}.")
    rule_type = RULES.get(found)
    if version != rule_type.version:
        raise ArgumentError(
            f"{home}: weights of version {version!r} of {found!r}; this metabench has version {rule_type.version}: "
            "the same weights would give other updates. Train them again, or use the metabench that wrote them."
        )
    if hashlib.sha256(content).hexdigest() != expected:
        raise ContentError(f"{home / 'weights.npz'}: not the file that the manifest names; it is damaged.")
    try:
        rule: UpdateRule = rule_type(**settings)
    except TypeError as error:
        raise ArgumentError(f"{home}: optimizer {found!r} does not have these settings: {error}.") from error
    with np.load(io.BytesIO(content), allow_pickle=False) as arrays:
        weights = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
    wanted = {key: tuple(value.shape) for key, value in rule.weights(torch.Generator()).items()}
    shapes = {key: tuple(value.shape) for key, value in weights.items()}
    if shapes != wanted:
        raise ArgumentError(f"{home}: arrays {shapes}; optimizer {found!r} with {settings} has {wanted}.")
    return rule, weights, manifest
