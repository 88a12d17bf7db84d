"""A joint space's definition file, read and validated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metabench.content import identifiers, locate, read_toml
from metabench.registry import did_you_mean
from metabench.spaces.definition import bad_key, check_blocks, check_keys
from metabench.spaces.joint.hyperparameter import Hyperparameter, Kind, real_levels

__all__ = ["CHOICES", "NAMES", "JointDefinition", "Sampling", "read_joint_definition"]

# What the engine can be told. The choices are those of `metabench.blocks.solving`, which is not imported here: a space
# is read without torch.
CHOICES: dict[str, tuple[str, ...]] = {
    "fixed_point_solver": ("picard", "anderson", "alternating-anderson", "broyden"),
    "fixed_point_adjoint": ("implicit", "jfb", "phantom", "truncated"),
    "ode_solver": ("euler", "midpoint", "rk4", "dopri5"),
    "ode_adjoint": ("backprop", "continuous"),
}
_NUMBERS: dict[str, tuple[Kind, float, float]] = {  # kind, and the limits of a range
    "width": ("integer", 1, 4096),
    "learning_rate": ("real", 1e-8, 10.0),
    "weight_decay": ("real", 1e-12, 100.0),
    "ode_steps": ("integer", 1, 1000),
    "tolerance": ("real", 1e-7, 1.0),
}
NAMES = (
    "width",
    "learning_rate",
    "weight_decay",
    "fixed_point_solver",
    "fixed_point_adjoint",
    "ode_solver",
    "ode_steps",
    "ode_adjoint",
    "tolerance",
)


@dataclass(frozen=True)
class Sampling:
    """Which configurations are trained for the surrogate.

    Attributes:
        seed: of the configurations.
        samples: how many.
        tasks: on which tasks.
        replicated_every: every so-many-th configuration, from the first, is trained with several seeds: they tell noise
            from what the surrogate does not know.
        replicates: how many seeds it has; the others have seed 0.
        batch_size: samples a step, instead of the tasks' own.
    """

    seed: int
    samples: int
    tasks: tuple[str, ...]
    batch_size: int
    replicated_every: int
    replicates: int


@dataclass(frozen=True)
class JointDefinition:
    """One frozen, versioned joint space.

    Attributes:
        id: published name, with its version.
        description: one sentence.
        stages: most blocks in a row; the depth is a hyperparameter from 1 to this.
        blocks: names in the block registry.
        hyperparameters: all of ``NAMES``, each after those that its activity depends on.
        sampling: what is trained.
        tags: words to find it by.
        history: what each version changed.
        citation: how to cite it.
    """

    id: str
    description: str
    stages: int
    blocks: tuple[str, ...]
    hyperparameters: tuple[Hyperparameter, ...]
    sampling: Sampling
    tags: tuple[str, ...] = ()
    history: dict[str, str] = field(default_factory=dict)
    citation: str = ""


_TYPES: dict[str, tuple[type, str]] = {
    "id": (str, "a string"),
    "kind": (str, "'joint'"),
    "description": (str, "a string"),
    "stages": (int, "a whole number from 1 to 6"),
    "blocks": (list, "a list of block names"),
    "hyperparameters": (dict, "a table"),
    "sampling": (dict, "a table"),
    "tags": (list, "a list of strings"),
    "history": (dict, "a table from version to text"),
    "citation": (str, "a string"),
}
_REQUIRED = ("id", "kind", "description", "stages", "blocks", "hyperparameters", "sampling")
_RANGE: dict[str, tuple[type, str]] = {
    "range": (list, "a list of the least and the greatest value"),
    "choices": (list, "a list of names"),
    "levels": (int, "a whole number from 2 to 1000"),
    "log": (bool, "true or false"),
    "default": (object, "a value"),
    "when": (dict, "a table of 'blocks' and hyperparameters to lists of names"),
}
_SAMPLING: dict[str, tuple[type, str]] = {
    "seed": (int, "a whole number"),
    "samples": (int, "a whole number of at least 1"),
    "tasks": (list, "a list of tasks"),
    "batch_size": (int, "a whole number of at least 1"),
    "replicated_every": (int, "a whole number of at least 1"),
    "replicates": (int, "a whole number of at least 1"),
}


def read_joint_definition(name: str) -> JointDefinition:
    """Reads ``search_spaces/<name>.toml``, or the user's own file if ``name`` is a path.

    Raises:
        ContentError: if there is no such space.
        DefinitionError: naming file, line and key.
    """
    path = locate("search_spaces", name)
    data = read_toml(path)
    check_keys(path, data, _TYPES, _REQUIRED)
    check_blocks(path, data)
    blocks = data["blocks"]
    if len(set(blocks)) != len(blocks) or not blocks or "skip" in blocks:
        raise bad_key(
            path, "blocks", "is empty or has repeats or 'skip'; expected distinct blocks: the depth is apart."
        )
    found: dict[str, Hyperparameter] = {}
    raw = data["hyperparameters"]
    for key in raw:
        if key not in NAMES:
            raise bad_key(path, key, f"is no hyperparameter.{did_you_mean(key, NAMES)} Known: {', '.join(NAMES)}.")
    for key in NAMES:
        if key not in raw:
            raise bad_key(path, "hyperparameters", f"lacks {key!r}; expected all of {', '.join(NAMES)}.")
        found[key] = _hyperparameter(path, key, raw[key], tuple(blocks), found)
    return JointDefinition(
        id=data["id"],
        description=data["description"],
        stages=data["stages"],
        blocks=tuple(blocks),
        hyperparameters=tuple(found.values()),
        sampling=_sampling(path, data["sampling"]),
        tags=tuple(data.get("tags", ())),
        history=data.get("history", {}),
        citation=data.get("citation", ""),
    )


def _hyperparameter(
    path: Path, name: str, raw: Any, blocks: tuple[str, ...], before: dict[str, Hyperparameter]
) -> Hyperparameter:
    if not isinstance(raw, dict):
        raise bad_key(path, name, f"is {raw!r}; expected a table with 'range' or 'choices'.")
    check_keys(path, raw, _RANGE, ("default", "choices" if name in CHOICES else "range"))
    kind, levels = _levels(path, name, raw)
    log = raw.get("log", False)
    if isinstance(raw["default"], bool) or not isinstance(raw["default"], str if kind == "choice" else int | float):
        raise bad_key(path, name, f"has the default {raw['default']!r}; expected one of its values.")
    made = Hyperparameter(name, kind, levels, raw["default"], log, *_condition(path, name, raw, blocks, before))
    place = made.place(raw["default"])
    if place is None or levels[place] != raw["default"]:
        near = "" if place is None else f" (the nearest level is {levels[place]})"
        raise bad_key(path, name, f"has the default {raw['default']!r}; expected a level, {made.describe()}{near}.")
    return made


def _levels(path: Path, name: str, raw: dict[str, Any]) -> tuple[Kind, tuple[Any, ...]]:
    if name in CHOICES:
        for extra in ("range", "levels", "log"):
            if extra in raw:
                raise bad_key(path, name, f"has choices and so no {extra!r}.")
        names = raw["choices"]
        for choice in names:
            if choice not in CHOICES[name]:
                known = CHOICES[name]
                raise bad_key(path, name, f"has the unknown choice {choice!r}.{did_you_mean(str(choice), known)}")
        if not names or len(set(names)) != len(names):
            raise bad_key(path, name, "has no choices, or repeats; expected distinct names.")
        return "choice", tuple(names)
    kind, least, most = _NUMBERS[name]
    ends = raw["range"]
    whole = kind == "integer"
    if "choices" in raw:
        raise bad_key(path, name, "has a range and so no 'choices'.")
    if (
        len(ends) != 2
        or any(isinstance(x, bool) or not isinstance(x, int if whole else int | float) for x in ends)
        or not least <= ends[0] < ends[1] <= most
    ):
        unit = "whole numbers" if whole else "numbers"
        raise bad_key(
            path, name, f"has the range {ends}; expected two {unit}, ascending, within {least:g} to {most:g}."
        )
    if whole:
        if "levels" in raw:
            raise bad_key(path, name, "is whole and so has no 'levels': all numbers of its range are.")
        return kind, tuple(range(ends[0], ends[1] + 1))
    if not 2 <= raw.get("levels", 0) <= 1000:
        raise bad_key(path, name, f"has levels {raw.get('levels')}; expected a whole number from 2 to 1000.")
    levels = real_levels(float(ends[0]), float(ends[1]), raw["levels"], log=raw.get("log", False))
    if len(set(levels)) != len(levels):
        raise bad_key(path, name, f"has {len(levels)} levels that are not distinct; expected fewer.")
    return kind, levels


def _condition(
    path: Path, name: str, raw: dict[str, Any], blocks: tuple[str, ...], before: dict[str, Hyperparameter]
) -> tuple[tuple[str, ...], dict[str, tuple[str, ...]]]:
    conditions = raw.get("when", {})
    given: dict[str, tuple[str, ...]] = {}
    chosen: tuple[str, ...] = ()
    for key, values in conditions.items():
        if key == "blocks":
            known = blocks
        elif key in before and before[key].kind == "choice":
            known = before[key].levels
        else:
            words = ", ".join(["blocks", *(other for other in before if before[other].kind == "choice")])
            raise bad_key(path, name, f"depends on {key!r}; expected one of {words}.")
        if not isinstance(values, list) or not values or any(value not in known for value in values):
            raise bad_key(path, name, f"depends on {key} = {values!r}; expected a list out of {', '.join(known)}.")
        if key == "blocks":
            chosen = tuple(values)
        else:
            given[key] = tuple(values)
    return chosen, given


def _sampling(path: Path, raw: dict[str, Any]) -> Sampling:
    check_keys(path, raw, _SAMPLING, tuple(_SAMPLING))
    for key in ("samples", "batch_size", "replicated_every", "replicates"):
        if raw[key] < 1:
            raise bad_key(path, key, f"is {raw[key]}; expected at least 1.")
    known = identifiers("tasks", of="dataset")
    for task in raw["tasks"]:
        if task not in known:
            raise bad_key(path, "tasks", f"names the unknown task {task!r}.{did_you_mean(str(task), known)}")
    if not raw["tasks"]:
        raise bad_key(path, "tasks", f"is empty; expected some of {', '.join(known)}.")
    return Sampling(**{**raw, "tasks": tuple(raw["tasks"])})
