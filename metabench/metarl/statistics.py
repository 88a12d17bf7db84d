"""Statistics over a handful of seeds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from metabench.seeding import numpy_generator
from metabench.statistics import interquartile_mean

__all__ = ["Interval", "interquartile_mean", "interquartile_mean_interval"]


class Interval(NamedTuple):
    """An estimate and its 95% interval."""

    estimate: float
    lower: float
    upper: float


def interquartile_mean_interval(values: Sequence[float], *, seed: int = 0, draws: int = 10_000) -> Interval:
    """The interquartile mean of one value a seed, with a percentile bootstrap interval over seeds.

    With fewer than four seeds it is the mean; with one, the interval has no width.

    Reference:
        Agarwal et al. (2021), Deep RL at the edge of the statistical precipice, arXiv:2108.13264.
    """
    array = np.asarray(values, dtype=float)
    picks = numpy_generator("metarl", "bootstrap", seed).integers(len(array), size=(draws, len(array)))
    lower, upper = np.quantile(interquartile_mean(array[picks]), (0.025, 0.975))
    return Interval(float(interquartile_mean(array)), float(lower), float(upper))
