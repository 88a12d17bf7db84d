"""Tables whose every statistic is known beforehand: effects, interactions and replicate noise of stated size."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabench.seeding import numpy_generator
from metabench.surrogate import Measurements
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS

__all__ = ["SyntheticTable", "synthetic_table"]

_METRICS = (*TRAINING_METRICS, "train_seconds")


@dataclass(frozen=True, eq=False)
class SyntheticTable:
    """A table and what it was made from.

    Attributes:
        measured: what a real table would give.
        truth: each architecture's test score at the last epoch without noise, ``(architectures,)``.
        noise_sd: of one replicate's test score at the last epoch.
    """

    measured: Measurements
    truth: np.ndarray
    noise_sd: float


def synthetic_table(
    digits: np.ndarray,
    blocks: tuple[str, ...],
    epochs: tuple[int, ...],
    *,
    seeds: int = 3,
    additive_sd: float = 0.05,
    interaction_sd: float = 0.0,
    noise_sd: float = 0.02,
    seed: int = 0,
) -> SyntheticTable:
    """Scores are 0.5 plus an effect of each stage's block, plus one of each pair of stages, plus noise of a replicate.

    Scores grow over the epochs towards their last value, with the order of architectures unchanged; a replicate's noise
    is the same at every epoch. Validation and test scores share effects and not noise.

    Args:
        digits: blocks as indices, ``(architectures, stages)``.
        blocks: names.
        epochs: checkpoint epochs.
        seeds: replicates.
        additive_sd: standard deviation of one stage's effects.
        interaction_sd: standard deviation of one pair's effects.
        noise_sd: standard deviation of a replicate's noise.
        seed: of effects and noise.
    """
    generator = numpy_generator("synthetic table", seed)
    n, stages = digits.shape
    truth = np.full(n, 0.5)
    for stage in range(stages):
        effects = generator.normal(size=len(blocks))
        truth += additive_sd * ((effects - effects.mean()) / effects.std())[digits[:, stage]]
    for first in range(stages):
        for second in range(first + 1, stages):
            pair = generator.normal(size=(len(blocks), len(blocks)))
            truth += interaction_sd * pair[digits[:, first], digits[:, second]]
    growth = np.log1p(np.array(epochs)) / np.log1p(epochs[-1])
    noise = noise_sd * generator.normal(size=(n, seeds, 2))
    values = np.zeros((n, seeds, len(epochs), len(_METRICS)))
    for metric, which in (("val_score", 0), ("test_score", 1)):
        reached = 0.5 + (truth - 0.5)[:, None] * growth
        values[..., _METRICS.index(metric)] = reached[:, None] + noise[:, :, which, None]
    values[..., _METRICS.index("train_loss")] = np.exp(-2.0 * values[..., 1])
    solves = (digits > 0).sum(axis=1)
    values[..., _METRICS.index("nfe_forward")] = solves[:, None, None] * 6.0
    values[..., _METRICS.index("nfe_backward")] = solves[:, None, None] * 4.0
    values[..., _METRICS.index("residual")] = 1e-4
    values[..., _METRICS.index("train_seconds")] = (0.1 + 0.2 * solves)[:, None, None] * np.array(epochs)
    costs = np.stack([100.0 + 50.0 * solves, 1e3 * solves, 64.0 * solves, np.full(n, np.nan)], axis=1)
    measured = Measurements(blocks, digits, epochs, _METRICS, values, ARCHITECTURE_METRICS, costs)
    return SyntheticTable(measured, truth, noise_sd)
