"""An environment's definition in ``tasks/``, read and validated."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metabench.content import identifiers, is_path, key_line, locate, read_toml
from metabench.errors import ArgumentError, DefinitionError
from metabench.registry import Registry, did_you_mean
from metabench.spaces.definition import check_keys

__all__ = ["FAMILIES", "AgentTraining", "EnvironmentTask", "Reference", "environment_identifiers", "load_environment"]

FAMILIES = Registry(
    "environment",
    {
        "grid-navigation": "metabench.envs.grid_navigation:GridNavigation",
        "room-navigation": "metabench.envs.room_navigation:RoomNavigation",
        "treasure-hunt": "metabench.envs.treasure_hunt:TreasureHunt",
        "sparse-point": "metabench.envs.sparse_point:SparsePoint",
        "bandit": "metabench.envs.bandit:Bandit",
        "tabular-mdp": "metabench.envs.tabular_mdp:TabularMDP",
        "mdp-playground": "metabench.envs.mdp_playground:MDPPlayground",
    },
    "metabench.envs",
)


@dataclass(frozen=True)
class Reference:
    """What policies that know more, or less, than an agent score at one setting of the parameters.

    Attributes:
        returns: policy -> undiscounted return of a trial, or of each of its episodes in turn.
        unit: the policy whose return is a score of one; ``random`` has score zero.
        command: prints these figures.
        standard_errors: of the returns of trials that were simulated; the others are exact.
        parameters: the parameters they hold for, where they differ from the definition's.
    """

    returns: Mapping[str, float | tuple[float, ...]]
    unit: str
    command: str
    standard_errors: Mapping[str, float] = field(default_factory=dict)
    parameters: Mapping[str, Any] = field(default_factory=dict)

    def total(self, policy: str) -> float:
        """The return of a whole trial."""
        value = self.returns[policy]
        return sum(value) if isinstance(value, tuple) else value

    def score(self, trial_return: float) -> float:
        """(return - random) / (unit - random)."""
        low, high = self.total("random"), self.total(self.unit)
        return (trial_return - low) / (high - low)


@dataclass(frozen=True)
class AgentTraining:
    """How the agents of a table are trained on an environment.

    Attributes:
        agent: registered name.
        frames: environment steps of a training.
        checkpoints: frames after which an agent is evaluated, ascending, the last one ``frames``.
        replicates: seeds of each architecture.
        settings: of the agent, where they differ from its preset for this environment.
    """

    agent: str
    frames: int
    checkpoints: tuple[int, ...]
    replicates: int = 3
    settings: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class EnvironmentTask:
    """One meta-reinforcement-learning problem.

    Attributes:
        id: published name, with its version.
        description: one sentence.
        environment: name in the registry of families.
        parameters: of the family: the definition's, with the caller's in their place.
        reference: what reference policies score with these parameters; None where that was not computed.
        citation: how to cite the environment.
        history: what each version changed.
        training: how the agents of a table are trained; None if there is no table.
    """

    id: str
    description: str
    environment: str
    parameters: Mapping[str, Any]
    reference: Reference | None
    citation: str = ""
    history: Mapping[str, str] = field(default_factory=dict)
    training: AgentTraining | None = None


_TYPES: dict[str, tuple[type, str]] = {
    "id": (str, "a string"),
    "kind": (str, "'environment'"),
    "description": (str, "a string"),
    "environment": (str, "the name of an environment"),
    "parameters": (dict, "a table"),
    "reference": (list, "tables [[reference]]"),
    "training": (dict, "a table"),
    "citation": (str, "a string"),
    "history": (dict, "a table from version to text"),
}
_REFERENCE: dict[str, tuple[type, str]] = {
    "parameters": (dict, "a table"),
    "returns": (dict, "a table from policy to return"),
    "unit": (str, "the policy whose score is one"),
    "standard_errors": (dict, "a table from policy to standard error"),
    "command": (str, "the command that prints the returns"),
}
_TRAINING: dict[str, tuple[type, str]] = {
    "agent": (str, "an agent's name"),
    "frames": (int, "a positive whole number"),
    "checkpoints": (list, "a list of frames"),
    "replicates": (int, "a positive whole number"),
    "settings": (dict, "a table of settings"),
}


def environment_identifiers() -> tuple[str, ...]:
    """The ids of all shipped environments, sorted."""
    return identifiers("tasks", of="environment")


def load_environment(name: str, **parameters: Any) -> EnvironmentTask:
    """Reads ``tasks/<name>.toml``, or the user's own file if ``name`` is a path.

    Args:
        name: an id, with parameters behind a colon if need be: ``bandit-v0:pulls=100,arms=10``.
        parameters: more of them; these win.

    Raises:
        ContentError: if there is no such definition.
        DefinitionError: naming file, line and key.
        ArgumentError: for parameters that cannot be read.
    """
    identifier, _, words = (name, "", "") if is_path(name) else name.partition(":")
    path = locate("tasks", identifier)
    data = read_toml(path)
    if data.get("kind") != "environment":
        known = ", ".join(environment_identifiers())
        raise ArgumentError(f"task {identifier!r} is a data set, not an environment. Environments: {known}.")
    check_keys(path, data, _TYPES, ("id", "kind", "description", "environment"))
    if data["environment"] not in FAMILIES:
        meant = did_you_mean(data["environment"], FAMILIES.names())
        raise DefinitionError(
            f"{path}:{key_line(path, 'environment')}: key 'environment' is {data['environment']!r}, unknown.{meant}"
        )
    base = data.get("parameters", {})
    changed = {**_read_parameters(words, name), **parameters}
    values = {**base, **changed}
    references = [_read_reference(path, raw) for raw in data.get("reference", [])]
    fitting = (item for item in references if {**base, **item.parameters} == values)
    return EnvironmentTask(
        id=data["id"],
        description=data["description"],
        environment=data["environment"],
        parameters=values,
        reference=next(fitting, None),
        citation=data.get("citation", ""),
        history=data.get("history", {}),
        training=_read_training(path, data["training"]) if "training" in data else None,
    )


def _read_parameters(words: str, name: str) -> dict[str, Any]:
    """``pulls=100,arms=10`` as a dict; values are written as in TOML."""
    try:
        return tomllib.loads("\n".join(words.split(","))) if words else {}
    except tomllib.TOMLDecodeError as error:
        raise ArgumentError(f"{name!r}: cannot read {words!r}; expected parameters as 'pulls=100,arms=10'.") from error


def _read_reference(path: Path, raw: dict[str, Any]) -> Reference:
    check_keys(path, raw, _REFERENCE, ("returns", "unit", "command"))
    numbers = {**raw["returns"], **raw.get("standard_errors", {})}
    for policy, value in numbers.items():
        if not all(isinstance(item, int | float) for item in (value if isinstance(value, list) else [value])):
            line = key_line(path, policy)
            raise DefinitionError(f"{path}:{line}: return of {policy!r} is {value!r}; expected numbers.")
    returns = {
        policy: tuple(map(float, value)) if isinstance(value, list) else float(value)
        for policy, value in raw["returns"].items()
    }
    missing = [policy for policy in ("random", raw["unit"]) if policy not in returns]
    if missing:
        raise DefinitionError(f"{path}:{key_line(path, 'unit')}: [[reference]] has no return of {missing[0]!r}.")
    errors = raw.get("standard_errors", {})
    return Reference(returns, raw["unit"], raw["command"], errors, raw.get("parameters", {}))


def _read_training(path: Path, raw: dict[str, Any]) -> AgentTraining:
    check_keys(path, raw, _TRAINING, ("agent", "frames", "checkpoints"))
    points, last = raw["checkpoints"], raw["frames"]
    whole = all(isinstance(point, int) and not isinstance(point, bool) and point > 0 for point in points)
    if not points or not whole or points != sorted({*points}) or points[-1] != last:
        line = key_line(path, "checkpoints")
        raise DefinitionError(
            f"{path}:{line}: key 'checkpoints' is {points}; expected ascending frames, the last one {last}."
        )
    if raw.get("replicates", 1) < 1:
        raise DefinitionError(
            f"{path}:{key_line(path, 'replicates')}: key 'replicates' is {raw['replicates']}; "
            "expected a positive whole number."
        )
    return AgentTraining(**{**raw, "checkpoints": tuple(points)})
