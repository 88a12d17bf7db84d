"""Few-shot classification made from the letter data: the letters of a problem were never seen in meta-training."""

from __future__ import annotations

import numpy as np
import torch

from metabench.datasets.letter import load_rows
from metabench.errors import ArgumentError
from metabench.problems.few_shot.episodes import Episodes, EpisodeSource, Split

__all__ = ["Letters"]

_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


class Letters(EpisodeSource):
    """A problem is ``ways`` letters of its split, numbered anew, and rows of each without repeats.

    The 16 attributes are standardised by the rows of the meta-training letters alone.

    Args:
        ways: classes of a problem.
        train: letters of the meta-training split.
        val: letters of the meta-validation split.
        test: letters of the meta-test split.

    Raises:
        ArgumentError: if splits share a letter, or have fewer than ``ways``.

    Reference: Slate (1991), Letter Recognition, https://doi.org/10.24432/C5ZP40; the protocol is that of Vinyals et al.
        (2016), arXiv:1606.04080.
    """

    inputs = 16

    def __init__(self, ways: int, train: str, val: str, test: str) -> None:
        self.outputs = ways
        splits: dict[Split, str] = {"train": train, "val": val, "test": test}
        letters = train + val + test
        if len(set(letters)) != len(letters) or not set(letters) <= set(_ALPHABET):
            raise ArgumentError(f"train={train!r}, val={val!r}, test={test!r}: expected distinct capital letters.")
        if ways < 2 or min(map(len, splits.values())) < ways:
            raise ArgumentError(f"ways={ways}: expected at least 2, and as many letters in every split.")
        attributes, labels = load_rows()
        seen = attributes[np.isin(labels, [_ALPHABET.index(letter) for letter in train])].astype(np.float64)
        x = torch.from_numpy(((attributes - seen.mean(0)) / seen.std(0)).astype(np.float32))
        self._rows = {
            split: [x[torch.from_numpy(np.flatnonzero(labels == _ALPHABET.index(letter)))] for letter in chosen]
            for split, chosen in splits.items()
        }

    def sample(self, problems: int, support: int, query: int, split: Split, generator: torch.Generator) -> Episodes:
        letters, count = self._rows[split], support + query
        if count > min(map(len, letters)):
            raise ArgumentError(f"support={support}, query={query}: a letter has {min(map(len, letters))} rows.")
        inputs = torch.empty(problems, self.outputs, count, self.inputs)
        for problem in range(problems):
            chosen = torch.randperm(len(letters), generator=generator)[: self.outputs]
            for place, letter in enumerate(chosen.tolist()):
                rows = letters[letter]
                inputs[problem, place] = rows[torch.randperm(len(rows), generator=generator)[:count]]
        labels = torch.arange(self.outputs)[:, None]

        def parts(of: slice, n: int) -> tuple[torch.Tensor, torch.Tensor]:
            x = inputs[:, :, of].reshape(problems, self.outputs * n, self.inputs)
            return x, labels.expand(self.outputs, n).reshape(-1).expand(problems, -1)

        return Episodes(*parts(slice(support), support), *parts(slice(support, None), query))
