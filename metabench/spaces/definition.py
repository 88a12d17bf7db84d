"""A search space's definition file, read and validated."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from metabench.content import key_line, locate, read_toml
from metabench.errors import DefinitionError
from metabench.registry import did_you_mean

__all__ = ["SpaceDefinition", "bad_key", "check_blocks", "check_keys", "read_space_definition"]


@dataclass(frozen=True)
class SpaceDefinition:
    """One frozen, versioned search space.

    Attributes:
        id: published name, with its version.
        description: one sentence.
        stages: blocks in a row.
        blocks: names in the block registry; ``skip`` first.
        width: state dimension of every stage.
        kind: what its architectures are: ``"classifier"``, a network of the stages in a row, or ``"agent"``, the parts
            of a meta-RL agent.
        tags: words to find it by.
        history: what each version changed.
        citation: how to cite it.
    """

    id: str
    description: str
    stages: int
    blocks: tuple[str, ...]
    width: int
    kind: str = "classifier"
    tags: tuple[str, ...] = ()
    history: dict[str, str] = field(default_factory=dict)
    citation: str = ""


_TYPES: dict[str, tuple[type, str]] = {
    "id": (str, "a string"),
    "description": (str, "a string"),
    "stages": (int, "a whole number from 1 to 6"),
    "blocks": (list, "a list of block names"),
    "width": (int, "a whole number from 1 to 4096"),
    "kind": (str, "'classifier', 'agent' or 'joint'"),
    "tags": (list, "a list of strings"),
    "history": (dict, "a table from version to text"),
    "citation": (str, "a string"),
}
_REQUIRED = ("id", "description", "stages", "blocks", "width")


def check_keys(path: Path, data: dict[str, Any], types: dict[str, tuple[type, str]], required: tuple[str, ...]) -> None:
    """Checks a definition's keys and their types.

    Raises:
        DefinitionError: naming file, line and key, what was expected, and the nearest known key.
    """

    def bad(key: str, why: str) -> DefinitionError:
        return DefinitionError(f"{path}:{key_line(path, key)}: key {key!r} {why}")

    for key, value in data.items():
        if key not in types:
            raise bad(key, f"is unknown.{did_you_mean(key, types)} Known: {', '.join(types)}.")
        expected, words = types[key]
        if not isinstance(value, expected) or (isinstance(value, bool) and expected is not bool):
            raise bad(key, f"is {value!r}; expected {words}.")
    missing = [key for key in required if key not in data]
    if missing:
        raise DefinitionError(f"{path}:1: key {missing[0]!r} is missing; expected {types[missing[0]][1]}.")


def bad_key(path: Path, key: str, why: str) -> DefinitionError:
    """What to say of a key of a definition file, with its line."""
    return DefinitionError(f"{path}:{key_line(path, key)}: key {key!r} {why}")


def check_blocks(path: Path, data: dict[str, Any]) -> None:
    """Checks the keys that spaces of all kinds have: ``stages`` and ``blocks``.

    Raises:
        DefinitionError: naming file, line and key.
    """
    from metabench.blocks import BLOCKS

    if not 1 <= data["stages"] <= 6:
        raise bad_key(path, "stages", f"is {data['stages']}; expected 1 to 6.")
    for block in data["blocks"]:
        if not isinstance(block, str) or block not in BLOCKS:
            raise bad_key(
                path, "blocks", f"names an unknown block {block!r}.{did_you_mean(str(block), BLOCKS.names())}"
            )


def read_space_definition(name: str) -> SpaceDefinition:
    """Reads ``search_spaces/<name>.toml``, or the user's own file if ``name`` is a path.

    Raises:
        ContentError: if there is no such space.
        DefinitionError: naming file, line and key.
    """
    from metabench.spaces.architecture import SKIP

    path = locate("search_spaces", name)
    data = read_toml(path)
    check_keys(path, data, _TYPES, _REQUIRED)

    check_blocks(path, data)
    if not 1 <= data["width"] <= 4096:
        raise bad_key(path, "width", f"is {data['width']}; expected 1 to 4096.")
    if data.get("kind", "classifier") not in ("classifier", "agent"):
        raise bad_key(path, "kind", f"is {data['kind']!r}; expected 'classifier', 'agent' or 'joint'.")
    blocks = data["blocks"]
    if len(set(blocks)) != len(blocks) or len(blocks) < 2:
        raise bad_key(path, "blocks", "has repeats or fewer than two names; expected distinct block names.")
    if SKIP in blocks:
        blocks = [SKIP, *(block for block in blocks if block != SKIP)]
    tuples = {"blocks": tuple(blocks), "tags": tuple(data.get("tags", ()))}
    return SpaceDefinition(**{**data, **tuples})
