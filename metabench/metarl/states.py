"""The state of an agent's parts as plain nested dicts, which is what a checkpoint holds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Protocol

import torch

from metabench.errors import CheckpointError

__all__ = ["Part", "load_parts", "state_of_parts"]


class Part(Protocol):
    """A module, an optimizer, a buffer: whatever can hand out its state and take it back."""

    def state_dict(self) -> Any:
        """The part's state."""
        ...

    def load_state_dict(self, state_dict: Any, /) -> Any:
        """Restores it."""
        ...


def state_of_parts(parts: Mapping[str, Part], generator: torch.Generator) -> dict[str, Any]:
    """The states of named parts and of the generator."""
    return {"generator": generator.get_state(), **{name: part.state_dict() for name, part in parts.items()}}


def load_parts(parts: Mapping[str, Part], generator: torch.Generator, state: Mapping[str, Any]) -> None:
    """Restores :func:`state_of_parts`.

    Raises:
        CheckpointError: naming the part that does not fit.
    """
    unlike = {"generator", *parts} ^ set(state)
    if unlike:
        raise CheckpointError(f"the checkpoint and the agent differ in {sorted(unlike)[0]!r}; it is another agent's.")
    for name, part in parts.items():
        try:
            part.load_state_dict(state[name])
        except (KeyError, RuntimeError, TypeError, ValueError) as error:
            raise CheckpointError(f"the checkpoint's {name} does not fit the agent: {error}") from error
    generator.set_state(state["generator"])
