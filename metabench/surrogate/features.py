"""What a surrogate sees of an architecture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["FEATURES_VERSION", "encode", "encode_categories", "one_hot"]

FEATURES_VERSION = 1
_SKIP = "skip"


def one_hot(digits: np.ndarray, blocks: int) -> np.ndarray:
    """A block a stage, float32 ``(n, stages * blocks)``, of digits ``(n, stages)``."""
    return np.eye(blocks, dtype=np.float32)[digits].reshape(len(digits), -1)


def _groups(blocks: Sequence[str]) -> list[tuple[str, list[int]]]:
    """Blocks that share a cell or a lift, so that a model can say something about a block that is rare."""
    names = {}
    for i, block in enumerate(blocks):
        cell, _, lift = block.partition(".")
        for word in (f"cell {cell}", f"lift {lift.partition('-')[0]}") if lift else ():
            names.setdefault(word, []).append(i)
    return [(name, members) for name, members in names.items() if len(members) > 1]


def _summary(digits: np.ndarray, blocks: Sequence[str]) -> tuple[np.ndarray, np.ndarray]:
    """The last block, ``(n,)``, and how often each block, cell and lift occurs, with the number of blocks."""
    counts = one_hot(digits, len(blocks)).reshape(len(digits), -1, len(blocks)).sum(axis=1)
    skip = list(blocks).index(_SKIP) if _SKIP in blocks else -1
    depth = (digits != skip).sum(axis=1)
    last = digits[np.arange(len(digits)), np.maximum(depth - 1, 0)]
    grouped = [counts[:, members].sum(axis=1, keepdims=True) for _, members in _groups(blocks)]
    return last, np.concatenate([counts, *grouped, depth[:, None].astype(np.float32)], axis=1)


def encode(digits: np.ndarray, blocks: Sequence[str]) -> np.ndarray:
    """Features for networks.

    Args:
        digits: ``(n, stages)``, skips last.
        blocks: the space's block names.

    Returns:
        float32 ``(n, features)``: the block of each stage and the last block as one-hot, then how often each block,
        cell and lift occurs, and the number of blocks.
    """
    last, summary = _summary(digits, blocks)
    return np.concatenate([one_hot(digits, len(blocks)), one_hot(last[:, None], len(blocks)), summary], axis=1)


def encode_categories(digits: np.ndarray, blocks: Sequence[str]) -> np.ndarray:
    """The same features for trees, which split sets of categories: each stage's block and the last as one column.

    Returns:
        float32 ``(n, features)``; the first ``stages + 1`` columns are categories.
    """
    last, summary = _summary(digits, blocks)
    return np.concatenate([digits.astype(np.float32), last[:, None].astype(np.float32), summary], axis=1)
