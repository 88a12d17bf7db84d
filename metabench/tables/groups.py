"""How a space's architectures are grouped for training: those of a group share many of their blocks' calls."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise, product

from metabench.spaces import Space
from metabench.spaces.architecture import SKIP, Architecture

__all__ = ["GROUP_SIZE", "training_groups"]

GROUP_SIZE = 27  # architectures in a group, about: minutes of training on a core, and blocks batched by nine


def _chunks(names: Sequence[str], size: int) -> list[tuple[str, ...]]:
    """Near-equal parts of at most ``size`` names."""
    count = -(-len(names) // size)
    cuts = [round(i * len(names) / count) for i in range(count + 1)]
    return [tuple(names[a:b]) for a, b in pairwise(cuts)]


def training_groups(space: Space, about: int = GROUP_SIZE) -> list[tuple[Architecture, ...]]:
    """All architectures of a space in groups of ``about`` so many, which depend on nothing else.

    A group is a product of block subsets, one a stage: k blocks at each of n stages make k^n architectures, which need
    n k calls instead of n k^n.
    """
    names = [name for name in space.blocks if name != SKIP]
    depths = range(space.stages + 1) if SKIP in space.blocks else [space.stages]
    groups: list[tuple[Architecture, ...]] = []
    for depth in depths:
        size = max(1, round(about ** (1 / depth))) if depth else 1
        for parts in product(_chunks(names, size), repeat=depth):
            groups.append(tuple(Architecture(blocks) for blocks in product(*parts)))
    return groups
