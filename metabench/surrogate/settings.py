"""How a surrogate is fitted."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations
from typing import Literal

import numpy as np

from metabench.errors import ArgumentError
from metabench.registry import did_you_mean
from metabench.seeding import numpy_generator

__all__ = ["MODELS", "Settings", "left_out"]

MODELS = ("lightgbm", "neural")


@dataclass(frozen=True)
class Settings:
    """How a surrogate is fitted; the defaults were chosen on held-out architectures, as the cards show.

    Attributes:
        model: ``"neural"`` (one network for all metrics) or ``"lightgbm"`` (boosted trees, a booster a metric).
        members: models in the ensemble; each is fitted without a share of 2 / members of the architectures.
        trees: boosting rounds of a booster.
        leaves: leaves of a tree.
        learning_rate: of boosting.
        min_leaf: rows that a leaf must hold at least.
        hidden: width of the two hidden layers of a network.
        steps: full-batch Adam steps of a network.
        seed: of every random choice in fitting.
    """

    model: Literal["lightgbm", "neural"] = "neural"
    members: int = 6
    trees: int = 80
    leaves: int = 31
    learning_rate: float = 0.12
    min_leaf: int = 20
    hidden: int = 128
    steps: int = 400
    seed: int = 0

    def __post_init__(self) -> None:
        if self.model not in MODELS:
            raise ArgumentError(
                f"unknown model {self.model!r}.{did_you_mean(self.model, MODELS)} Known: lightgbm, neural."
            )
        if self.members < 3:
            raise ArgumentError(
                f"members={self.members}: expected at least 3, so that each architecture has a model apart."
            )
        for name in ("trees", "leaves", "min_leaf", "hidden", "steps"):
            if getattr(self, name) < 2:
                raise ArgumentError(f"{name}={getattr(self, name)}: expected at least 2.")
        if not 0 < self.learning_rate <= 1:
            raise ArgumentError(f"learning_rate={self.learning_rate}: expected above 0, at most 1.")


def left_out(settings: Settings, architectures: int) -> np.ndarray:
    """Which members each architecture is kept from, bool ``(architectures, members)``: two of them, in balance.

    The two that have not seen an architecture give an honest prediction of it, and a spread, without another fit.
    """
    pairs = np.array(list(combinations(range(settings.members), 2)))
    order = numpy_generator("surrogate", "left out", settings.seed).permutation(architectures)
    chosen = np.empty((architectures, 2), dtype=int)
    chosen[order] = pairs[np.arange(architectures) % len(pairs)]
    mask = np.zeros((architectures, settings.members), dtype=bool)
    np.put_along_axis(mask, chosen, True, axis=1)
    return mask
