"""A surrogate as files: text and plain arrays, with a manifest of their checksums; nothing is ever unpickled."""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabench.errors import TableError
from metabench.surrogate.boosting import booster_text, read_booster
from metabench.surrogate.costs import Costs
from metabench.surrogate.features import FEATURES_VERSION
from metabench.surrogate.noise import Noise
from metabench.surrogate.settings import Settings
from metabench.surrogate.surrogate import Surrogate
from metabench.surrogate.targets import Scale

if TYPE_CHECKING:
    from lightgbm import Booster

__all__ = ["MANIFEST", "SCHEMA_VERSION", "load_surrogate", "surrogate_files"]

SCHEMA_VERSION = 1
MANIFEST = "manifest.json"
_ARRAYS = ("centre", "spread", "additive", "costs", "calibration", "noise_factor")
_BREAK = "\n<metabench: next booster>\n"


def _npy(array: np.ndarray, dtype: Any = np.float32) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.ascontiguousarray(array, dtype=dtype), allow_pickle=False)
    return buffer.getvalue()


def _pack(boosters: list[Booster]) -> bytes:
    text = _BREAK.join(booster_text(booster) for booster in boosters)
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)  # no date: the same boosters give the same bytes


def surrogate_files(surrogate: Surrogate, about: dict[str, Any] | None = None) -> dict[str, bytes]:
    """The files of a surrogate, the manifest last.

    Args:
        surrogate: what to keep.
        about: more for the manifest, as JSON: where the data came from, how good it is.
    """
    files = {
        "centre.npy": _npy(surrogate.scale.centre, np.float64),
        "spread.npy": _npy(surrogate.scale.spread, np.float64),
        "additive.npy": _npy(surrogate.additive),
        "costs.npy": _npy(surrogate.costs.weights, np.float64),  # parameters are exact
        "calibration.npy": _npy(surrogate.calibration, np.float64),
        "noise_factor.npy": _npy(surrogate.noise.factor),
    }
    if surrogate.costs.boosters:
        files["costs.txt.gz"] = _pack(list(surrogate.costs.boosters.values()))
    if surrogate.noise.boosters:
        files["noise.txt.gz"] = _pack(surrogate.noise.boosters)
    for i, boosters in enumerate(surrogate.boosters):
        files[f"member{i}.txt.gz"] = _pack(boosters)
    for i, layers in enumerate(surrogate.networks):
        for j, (weight, bias) in enumerate(layers):
            files[f"member{i}.layer{j}.npy"] = _npy(np.concatenate([weight, bias[None]]))
    manifest = {
        "schema_version": SCHEMA_VERSION,
        "features_version": FEATURES_VERSION,
        "name": surrogate.name,
        "blocks": list(surrogate.blocks),
        "stages": surrogate.stages,
        "epochs": list(surrogate.epochs),
        "metrics": list(surrogate.metrics),
        "costs": list(surrogate.cost_names),
        "hyperparameters": list(surrogate.hyperparameters),
        "predicted_costs": list(surrogate.costs.boosters),
        "settings": asdict(surrogate.settings),
        "architectures": surrogate.architectures,
        "libraries": {name: version(name) for name in ("numpy", "lightgbm")},
        **(about or {}),
        "files": {
            name: {"sha256": hashlib.sha256(data).hexdigest(), "bytes": len(data)} for name, data in files.items()
        },
    }
    files[MANIFEST] = (json.dumps(manifest, indent=2) + "\n").encode()
    return files


def read_manifest(place: Path) -> dict[str, Any]:
    """A surrogate's manifest.

    Raises:
        TableError: if it cannot be read, or is of another schema.
    """
    path = place / MANIFEST
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
        schema, features = manifest["schema_version"], manifest["features_version"]
        _ = manifest["files"], manifest["settings"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise TableError(f"{path}: not a readable manifest ({error}); fit the surrogate again.") from error
    if (schema, features) != (SCHEMA_VERSION, FEATURES_VERSION):
        newer = (schema, features) > (SCHEMA_VERSION, FEATURES_VERSION)
        raise TableError(
            f"{place}: surrogate schema {schema}.{features} is {'newer' if newer else 'older'} than this metabench "
            f"reads ({SCHEMA_VERSION}.{FEATURES_VERSION}); {'upgrade metabench' if newer else 'fit it again'}."
        )
    return manifest


def _read(place: Path, name: str, listed: dict[str, Any]) -> bytes:
    path = place / name
    try:
        data = path.read_bytes()
    except OSError as error:
        raise TableError(
            f"{path}: cannot be read: {error.strerror}; restore it, or fit the surrogate again."
        ) from error
    found = hashlib.sha256(data).hexdigest()
    if found != listed["sha256"]:
        raise TableError(
            f"{path}: checksum {found[:12]}..., not the manifest's {listed['sha256'][:12]}...: truncated or altered; "
            "restore it, or fit the surrogate again."
        )
    return data


def _unpack(data: bytes) -> list[Booster]:
    return [read_booster(text) for text in gzip.decompress(data).decode().split(_BREAK)]


def load_surrogate(place: Path) -> Surrogate:
    """Reads a surrogate; every file is checked against the manifest first.

    Raises:
        TableError: if a file is missing, truncated or altered (it is named), or of another schema.
    """
    manifest = read_manifest(place)
    files = {name: _read(place, name, listed) for name, listed in manifest["files"].items()}

    def array(name: str) -> np.ndarray:
        return np.load(io.BytesIO(files[name]), allow_pickle=False)

    try:
        settings = Settings(**manifest["settings"])
        arrays = {name: array(f"{name}.npy") for name in _ARRAYS}
        boosters: list[list[Booster]] = []
        networks = []
        for i in range(settings.members):
            if settings.model == "neural":
                both = [array(f"member{i}.layer{j}.npy") for j in range(3)]
                networks.append([(layer[:-1], layer[-1]) for layer in both])
            else:
                boosters.append(_unpack(files[f"member{i}.txt.gz"]))
        noise = _unpack(files["noise.txt.gz"]) if "noise.txt.gz" in files else []
        of_costs = _unpack(files["costs.txt.gz"]) if "costs.txt.gz" in files else []
        predicted = [int(i) for i in manifest.get("predicted_costs", ())]
        return Surrogate(
            name=manifest["name"],
            blocks=tuple(manifest["blocks"]),
            stages=manifest["stages"],
            epochs=tuple(manifest["epochs"]),
            metrics=tuple(manifest["metrics"]),
            cost_names=tuple(manifest["costs"]),
            settings=settings,
            architectures=manifest["architectures"],
            scale=Scale(arrays["centre"], arrays["spread"]),
            additive=arrays["additive"].astype(np.float64),
            costs=Costs(arrays["costs"], dict(zip(predicted, of_costs, strict=True))),
            calibration=arrays["calibration"],
            noise=Noise(noise, arrays["noise_factor"].astype(np.float64)),
            boosters=boosters,
            networks=networks,
            hyperparameters=tuple(manifest.get("hyperparameters", ())),
        )
    except (KeyError, ValueError, TypeError, zlib.error, OSError) as error:
        raise TableError(f"{place}: not a readable surrogate ({error}); fit it again.") from error
