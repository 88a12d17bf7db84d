"""What a few-shot task hands out: a batch of problems, each with data to adapt to and data to be judged on."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Literal, NamedTuple

import torch
from torch import Tensor

__all__ = ["EpisodeSource", "Episodes", "Split"]

Split = Literal["train", "val", "test"]


class Episodes(NamedTuple):
    """A batch of problems.

    Attributes:
        support_x: ``(problems, support, inputs)``, to adapt to.
        support_y: targets ``(problems, support, outputs)``, or labels ``(problems, support)``.
        query_x: ``(problems, query, inputs)``, to be judged on.
        query_y: as ``support_y``.
    """

    support_x: Tensor
    support_y: Tensor
    query_x: Tensor
    query_y: Tensor


class EpisodeSource(ABC):
    """Draws problems.

    Attributes:
        inputs: input dimension.
        outputs: output dimension, or number of classes of a problem.
    """

    inputs: int
    outputs: int

    @abstractmethod
    def sample(self, problems: int, support: int, query: int, split: Split, generator: torch.Generator) -> Episodes:
        """Draws ``problems`` problems of a split; ``support`` and ``query`` samples each, of each class if there are.

        Splits share no classes, where there are classes.
        """
