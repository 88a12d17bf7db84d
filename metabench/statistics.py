"""Statistics that runs of every kind are summed up by."""

from __future__ import annotations

import numpy as np

__all__ = ["interquartile_mean"]


def interquartile_mean(values: np.ndarray) -> np.ndarray:
    """Mean of what is left along the last axis when the lowest and the highest quarter (rounded down) are cut off.

    It is ``scipy.stats.trim_mean(values, 0.25)``, but passes infinite values that are cut off.

    Reference:
        Agarwal et al. (2021), Deep reinforcement learning at the edge of the statistical precipice, arXiv:2108.13264.
    """
    count = values.shape[-1]
    cut = count // 4
    return np.sort(values, axis=-1)[..., cut : count - cut].mean(axis=-1)
