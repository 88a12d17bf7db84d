"""An architecture: the blocks of a network, in order."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["SKIP", "Architecture"]

SKIP = "skip"


@dataclass(frozen=True, slots=True)
class Architecture:
    """Block names in order, skips removed. ``str()`` gives ``"mlp.deq,gated.ode"``, or ``"skip"`` if empty."""

    blocks: tuple[str, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "blocks", tuple(name for name in self.blocks if name != SKIP))

    def __str__(self) -> str:
        return ",".join(self.blocks) or SKIP
