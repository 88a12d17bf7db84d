"""What a problem is to a learned optimizer: many instances of one objective, each with its own parameters and data."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from metabench.errors import ArgumentError

__all__ = ["Batch", "Parameters", "Problem", "draw_rows"]

Parameters = dict[str, Tensor]
"""Tensors ``(instances, ...)`` by name."""

Batch = Any
"""What a loss needs beside parameters: tensors ``(instances, ...)``."""


class Problem(ABC):
    """A family of objectives. An instance is named by a seed; nothing else decides it.

    All tensors have a leading axis of instances, and an instance's values do not depend on its neighbours. Implicit
    layers, which ``vmap`` refuses, are batched on this axis too.

    Attributes:
        name: what is optimised, in words.
        held_out: whether it is kept from meta-training.
    """

    name: str
    held_out: bool = False

    @abstractmethod
    def sample(self, seeds: Sequence[int]) -> Parameters:
        """Initial parameters of the instances."""

    @abstractmethod
    def batch(self, seeds: Sequence[int], step: int) -> Batch:
        """What the loss of a step is measured on; a pure function, so that a run can go on from any step."""

    @abstractmethod
    def loss(self, parameters: Parameters, batch: Batch) -> Tensor:
        """The loss of each instance, ``(instances,)``."""

    def full_loss(self, parameters: Parameters, seeds: Sequence[int]) -> Tensor:
        """The training loss without the noise of a batch, ``(instances,)``."""
        return self.loss(parameters, self.batch(seeds, 0))

    def minimum(self, seeds: Sequence[int]) -> Tensor:
        """The least loss of each instance, or a bound below it, ``(instances,)``; 0 unless a problem says otherwise."""
        return torch.zeros(len(seeds))

    def score(self, parameters: Parameters) -> Tensor | None:
        """The validation score of each instance, ``(instances,)``, higher is better; None if there is none."""
        return None


def draw_rows(seeds: Sequence[int], step: int, count: int, rows: int) -> np.ndarray:
    """Rows drawn with replacement by a counter-based generator: a pure function of seed, step and place.

    Args:
        seeds: one an instance.
        step: the step they are for.
        count: how many an instance.
        rows: to draw from.

    Returns:
        int64 ``(instances, count)``.

    Reference: Steele, Lea and Flood (2014), Fast splittable pseudorandom number generators (the mixing function).
    """
    if count < 1 or rows < 1 or step < 0:
        raise ArgumentError(f"count={count}, rows={rows}, step={step}: expected positive counts and a step >= 0.")
    streams = _mix(np.array([seed % 2**64 for seed in seeds], dtype=np.uint64))[:, None]
    with np.errstate(over="ignore"):
        places = np.arange(count, dtype=np.uint64) + np.uint64(step) * np.uint64(count)
        mixed = _mix(streams + places * np.uint64(0x9E3779B97F4A7C15))
    return (mixed % np.uint64(rows)).astype(np.int64)


def _mix(x: np.ndarray) -> np.ndarray:
    """The 64-bit finaliser of SplitMix."""
    with np.errstate(over="ignore"):
        x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))
