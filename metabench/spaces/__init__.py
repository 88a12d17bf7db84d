"""Search spaces: definition -> ConfigSpace -> architecture -> torch module, and the integer code of each."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from metabench.content import is_path, locate, read_toml
from metabench.errors import ArgumentError
from metabench.spaces.architecture import Architecture
from metabench.spaces.definition import SpaceDefinition, read_space_definition
from metabench.spaces.joint import JointArchitecture, JointSpace, read_joint_definition
from metabench.spaces.space import Space

if TYPE_CHECKING:
    from metabench.spaces.network import Network

__all__ = [
    "Architecture",
    "JointArchitecture",
    "JointSpace",
    "Network",
    "Space",
    "SpaceDefinition",
    "load_space",
    "load_tabular_space",
]


def _read(name: str) -> Space | JointSpace:
    if read_toml(locate("search_spaces", name)).get("kind") == "joint":
        return JointSpace(read_joint_definition(name))
    return Space(read_space_definition(name))


@lru_cache(maxsize=32)
def _load_shipped(name: str) -> Space | JointSpace:
    return _read(name)


def load_space(name: str) -> Space | JointSpace:
    """The space of an id, or of the user's own ``.toml`` file.

    Raises:
        ContentError: if there is no such space.
        DefinitionError: naming file, line and key.
    """
    return _read(name) if is_path(name) else _load_shipped(name)  # the user may edit a file


def load_tabular_space(name: str) -> Space:
    """The same, of a space whose architectures can be listed.

    Raises:
        ContentError, DefinitionError: as :func:`load_space`.
        ArgumentError: for a joint space.
    """
    space = load_space(name)
    if isinstance(space, JointSpace):
        raise ArgumentError(
            f"space {space.id!r} has no table, only a surrogate fitted to sampled configurations: use 'metabench fit "
            f"{space.id}', kind='surrogate' or kind='live'."
        )
    return space


def __getattr__(name: str) -> object:
    if name == "Network":  # the only part of this floor that needs torch
        from metabench.spaces.network import Network

        return Network
    raise AttributeError(name)
