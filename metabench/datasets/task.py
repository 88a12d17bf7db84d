"""A task's definition file, read and validated."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from metabench.content import identifiers, key_line, locate, read_toml
from metabench.errors import ArgumentError, DefinitionError
from metabench.registry import Registry, did_you_mean
from metabench.spaces.definition import check_keys

__all__ = ["DATASETS", "Protocol", "Task", "load_task"]

DATASETS = Registry(
    "data set",
    {
        "mnist1d": "metabench.datasets.mnist1d:make",
        "spirals": "metabench.datasets.spirals:make",
        "annuli": "metabench.datasets.annuli:make",
        "pendulum": "metabench.datasets.pendulum:make",
        "letter": "metabench.datasets.letter:make",
    },
    "metabench.datasets",
)


@dataclass(frozen=True)
class Protocol:
    """How every architecture is trained on a task: Adam, one-cycle learning rate.

    Attributes:
        epochs: epochs in all.
        batch_size: samples a step, of each replicate; a last smaller batch is dropped.
        learning_rate: peak of the one-cycle schedule; ``default``, or by block name for that block's parameters.
        checkpoints: epochs at which metrics are recorded, ascending, the last one ``epochs``.
        gradient_clip: each replicate's gradient norm is clipped to this.
    """

    epochs: int
    batch_size: int
    learning_rate: dict[str, float]
    checkpoints: tuple[int, ...]
    gradient_clip: float = 1.0


@dataclass(frozen=True)
class Task:
    """One learning problem.

    Attributes:
        id: published name, with its version.
        description: one sentence.
        dataset: name in the data set registry.
        parameters: passed to the data set's maker.
        splits: rows of ``train``, ``val`` and ``test``.
        metric: what ``val_score`` and ``test_score`` are.
        protocol: how architectures are trained.
        checksum: SHA-256 of the arrays; empty in a file under construction.
        reference: scores of baselines.
        citation: how to cite the data.
        licence: the data's licence.
        history: what each version changed.
    """

    id: str
    description: str
    dataset: str
    parameters: dict[str, Any]
    splits: dict[str, int]
    metric: str
    protocol: Protocol
    checksum: str = ""
    reference: dict[str, float] = field(default_factory=dict)
    citation: str = ""
    licence: str = ""
    history: dict[str, str] = field(default_factory=dict)

    @property
    def epochs(self) -> tuple[int, ...]:
        """The checkpoint epochs."""
        return self.protocol.checkpoints


_TYPES: dict[str, tuple[type, str]] = {
    "id": (str, "a string"),
    "kind": (str, "'dataset'"),
    "description": (str, "a string"),
    "dataset": (str, "the name of a data set"),
    "parameters": (dict, "a table"),
    "splits": (dict, "a table of train, val and test rows"),
    "metric": (str, "'accuracy'"),
    "protocol": (dict, "a table"),
    "checksum": (str, "a string"),
    "reference": (dict, "a table of scores"),
    "citation": (str, "a string"),
    "licence": (str, "a string"),
    "history": (dict, "a table from version to text"),
}
_PROTOCOL: dict[str, tuple[type, str]] = {
    "epochs": (int, "a positive whole number"),
    "batch_size": (int, "a positive whole number"),
    "learning_rate": (dict, "a table with 'default'"),
    "checkpoints": (list, "a list of epochs"),
    "gradient_clip": (float, "a positive number"),
}


def load_task(name: str) -> Task:
    """Reads ``tasks/<name>.toml``, or the user's own file if ``name`` is a path.

    Raises:
        ContentError: if there is no such task.
        ArgumentError: if it is an environment.
        DefinitionError: naming file, line and key.
    """
    path = locate("tasks", name)
    data = read_toml(path)
    if data.get("kind", "dataset") != "dataset":
        known = ", ".join(identifiers("tasks", of="dataset"))
        raise ArgumentError(f"task {name!r} is an {data['kind']}, not a data set. Data sets: {known}.")
    check_keys(path, data, _TYPES, ("id", "description", "dataset", "splits", "metric", "protocol"))
    raw = data["protocol"]
    check_keys(path, raw, _PROTOCOL, ("epochs", "batch_size", "learning_rate", "checkpoints"))

    def bad(key: str, why: str) -> DefinitionError:
        return DefinitionError(f"{path}:{key_line(path, key)}: key {key!r} {why}")

    if data["dataset"] not in DATASETS:
        known = DATASETS.names()
        raise bad("dataset", f"is {data['dataset']!r}, unknown.{did_you_mean(data['dataset'], known)}")
    if sorted(data["splits"]) != ["test", "train", "val"] or any(
        not isinstance(n, int) or n < 1 for n in data["splits"].values()
    ):
        raise bad("splits", "needs positive whole numbers train, val and test.")
    if data["metric"] != "accuracy":
        raise bad("metric", f"is {data['metric']!r}; expected 'accuracy'.")
    if raw["epochs"] < 1 or not 1 <= raw["batch_size"] <= data["splits"]["train"]:
        raise bad("protocol", "needs epochs >= 1 and batch_size from 1 to the training rows.")
    points = raw["checkpoints"]
    if points != sorted({*points}) or not points or points[0] < 1 or points[-1] != raw["epochs"]:
        raise bad("checkpoints", f"is {points}; expected ascending epochs from 1 on, the last one {raw['epochs']}.")
    rates = raw["learning_rate"]
    if "default" not in rates or any(not isinstance(r, int | float) or not r > 0 for r in rates.values()):
        raise bad("learning_rate", "needs 'default' and positive numbers.")
    protocol = Protocol(
        **{**raw, "checkpoints": tuple(points), "learning_rate": {k: float(v) for k, v in rates.items()}}
    )
    data.pop("kind", None)
    return Task(**{**data, "parameters": data.get("parameters", {}), "protocol": protocol})
