"""Randomness is an argument: every stream is derived from a seed and a path of names, never from global state."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    import torch

__all__ = ["derive", "numpy_generator", "torch_generator"]


def derive(*path: int | str) -> int:
    """A 63-bit seed that depends on every part of ``path``; the same on every machine and Python version."""
    text = "\x1f".join(f"{type(part).__name__}:{part}" for part in path)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "big") >> 1


def numpy_generator(*path: int | str) -> np.random.Generator:
    """A NumPy generator seeded by :func:`derive`."""
    return np.random.Generator(np.random.PCG64(derive(*path)))


def torch_generator(*path: int | str) -> torch.Generator:
    """A CPU torch generator seeded by :func:`derive`."""
    import torch

    return torch.Generator().manual_seed(derive(*path))
