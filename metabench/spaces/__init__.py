"""Search spaces: definition -> ConfigSpace -> architecture -> torch module, and the integer code of each."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from metabench.content import is_path
from metabench.spaces.architecture import Architecture
from metabench.spaces.definition import SpaceDefinition, read_space_definition
from metabench.spaces.space import Space

if TYPE_CHECKING:
    from metabench.spaces.network import Network

__all__ = ["Architecture", "Network", "Space", "SpaceDefinition", "load_space"]


@lru_cache(maxsize=32)
def _load_shipped(name: str) -> Space:
    return Space(read_space_definition(name))


def load_space(name: str) -> Space:
    """The space of an id, or of the user's own ``.toml`` file.

    Raises:
        ContentError: if there is no such space.
        DefinitionError: naming file, line and key.
    """
    if is_path(name):  # the user may edit it
        return Space(read_space_definition(name))
    return _load_shipped(name)


def __getattr__(name: str) -> object:
    if name == "Network":  # the only part of this floor that needs torch
        from metabench.spaces.network import Network

        return Network
    raise AttributeError(name)
