"""Means over replicates of which some may be missing."""

from __future__ import annotations

import numpy as np

__all__ = ["replicate_mean"]


def replicate_mean(scores: np.ndarray) -> np.ndarray:
    """Mean over the first axis (replicates) of what is finite there, NaN where nothing is."""
    known = np.isfinite(scores)
    count = known.sum(axis=0)
    total = np.where(known, scores, 0.0).sum(axis=0)
    return np.divide(total, count, out=np.full(total.shape, np.nan), where=count > 0)
