"""What a surrogate sees of an architecture."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

__all__ = ["FEATURES_VERSION", "encode", "encode_categories", "one_hot", "quadratics"]

FEATURES_VERSION = 1
_SKIP = "skip"


def one_hot(digits: np.ndarray, blocks: int) -> np.ndarray:
    """A block a stage, float32 ``(n, stages * blocks)``, of digits ``(n, stages)``."""
    return np.eye(blocks, dtype=np.float32)[digits].reshape(len(digits), -1)


def quadratics(hyperparameters: np.ndarray | None) -> np.ndarray | None:
    """Hyperparameters ``(n, k)`` about the middle of their range, and their squares, ``(n, 2 k)``; inactive ones 0."""
    if hyperparameters is None:
        return None
    about = np.nan_to_num(hyperparameters - 0.5, nan=0.0)
    return np.concatenate([about, about**2], axis=1)


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


def encode(digits: np.ndarray, blocks: Sequence[str], hyperparameters: np.ndarray | None = None) -> np.ndarray:
    """Features for networks.

    Args:
        digits: ``(n, stages)``, skips last.
        blocks: the space's block names.
        hyperparameters: of a joint space, ``(n, k)``; NaN where inactive.

    Returns:
        float32 ``(n, features)``: the block of each stage and the last block as one-hot, then how often each block,
        cell and lift occurs, the number of blocks, and :func:`quadratics` of the hyperparameters.
    """
    last, summary = _summary(digits, blocks)
    parts = [one_hot(digits, len(blocks)), one_hot(last[:, None], len(blocks)), summary]
    numbers = quadratics(hyperparameters)
    return np.concatenate([*parts, *([] if numbers is None else [numbers.astype(np.float32)])], axis=1)


def encode_categories(
    digits: np.ndarray, blocks: Sequence[str], hyperparameters: np.ndarray | None = None
) -> np.ndarray:
    """The same features for trees, which split sets of categories: each stage's block and the last as one column.

    Hyperparameters stay as they are: trees have a branch for what is missing.

    Returns:
        float32 ``(n, features)``; the first ``stages + 1`` columns are categories.
    """
    last, summary = _summary(digits, blocks)
    parts = [digits.astype(np.float32), last[:, None].astype(np.float32), summary]
    return np.concatenate([*parts, *([] if hyperparameters is None else [hyperparameters.astype(np.float32)])], axis=1)
