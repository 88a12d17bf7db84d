"""A synthetic benchmark with the interface of tables: two stages, five blocks, three replicates, two epochs."""

from __future__ import annotations

import dataclasses
import itertools
import math

import numpy as np
import pytest

from metabench.errors import ArchitectureError, MissingResultError
from metabench.tables.result import ARCHITECTURE_METRICS, Result, Status

BLOCKS = ("skip", "a", "b", "c", "d")


@dataclasses.dataclass(frozen=True)
class SyntheticArchitecture:
    blocks: tuple[str, ...]

    def __str__(self):
        return ",".join(self.blocks) or "skip"


class SyntheticSpace:
    id = "synthetic2-v1"
    blocks = BLOCKS
    stages = 2
    size = 25

    def __init__(self):
        self._choices = list(itertools.product(range(5), repeat=2))
        # A lone block is canonical in the first stage: (skip, x) is (x, skip).
        self._canonical = [5 * j if i == 0 else 5 * i + j for i, j in self._choices]
        self.canonical_codes = np.unique(self._canonical).astype(np.int64)
        self.row_of = np.searchsorted(self.canonical_codes, self._canonical)

    def canonical(self, code):
        return self._canonical[code]

    def code(self, x):
        if isinstance(x, (int, np.integer)):
            if not 0 <= x < self.size:
                raise ArchitectureError(f"code {x} is outside 0 to {self.size - 1}.")
            return self._canonical[int(x)]
        i, j = (BLOCKS.index(x[f"stage{stage}"]) for stage in (1, 2))
        return self._canonical[5 * i + j]

    def architecture(self, code):
        return SyntheticArchitecture(tuple(BLOCKS[i] for i in self._choices[code] if i))

    def neighbours(self, code):
        i, j = self._choices[code]
        near = {self._canonical[5 * k + j] for k in range(5)} | {self._canonical[5 * i + k] for k in range(5)}
        return np.array(sorted(near - {code}))

    def configuration_space(self, seed=None):
        from ConfigSpace import CategoricalHyperparameter, ConfigurationSpace

        space = ConfigurationSpace(seed=seed)
        for stage in (1, 2):
            space.add(CategoricalHyperparameter(f"stage{stage}", BLOCKS))
        return space


class SyntheticBenchmark:
    """Scores are a fixed function of code, epoch and replicate; some cells may be diverged or missing."""

    task = None
    kind = "table"
    epochs = (1, 4)
    seeds = (0, 1, 2)

    def __init__(self, name="synthetic2-v1/hills-v1", diverged=(), missing=()):
        self.id = name
        self.space_definition = SyntheticSpace()
        self.diverged = set(diverged)
        self.missing = set(missing)
        self.provenance = {"sha256": f"{sorted(self.diverged)} {sorted(self.missing)}"}
        self.asked = 0

    def _scores(self, code, epoch, seed):
        if (code, seed) in self.missing or (code, seed) in self.diverged:
            return math.nan, math.nan
        base = 0.5 + 0.4 * math.sin(1.7 * code) * (1 - 0.3 / epoch)
        return base + 0.01 * math.sin(13.0 * code + seed), base - 0.02 + 0.01 * math.cos(7.0 * code + seed)

    def query(self, code, *, epoch=None, seed="mean"):
        self.asked += 1
        if (code, seed) in self.missing:
            raise MissingResultError(f"no result of {code}.")
        val, test = self._scores(code, epoch, seed)
        status = Status.DIVERGED if (code, seed) in self.diverged else Status.OK
        nothing = dict.fromkeys(
            ("train_loss", "nfe_forward", "nfe_backward", "unconverged", "residual", *ARCHITECTURE_METRICS), 0.0
        )
        return Result(
            architecture=self.space_definition.architecture(code).blocks,
            code=code,
            epoch=epoch,
            seed=seed,
            val_score=val,
            test_score=test,
            train_seconds=1.0 + 0.1 * code,
            status=status,
            **nothing,
        )

    def query_batch(self, codes, *, epoch=None, seed="mean", metrics=("test_score",)):
        epoch = epoch or self.epochs[-1]
        if seed == "mean":
            return np.mean([self.query_batch(codes, epoch=epoch, seed=k, metrics=metrics) for k in self.seeds], axis=0)
        columns = {"val_score": 0, "test_score": 1}
        return np.array(
            [[self._scores(int(code), epoch, seed)[columns[metric]] for metric in metrics] for code in codes]
        )


@pytest.fixture
def make_benchmark():
    return SyntheticBenchmark


@pytest.fixture
def benchmark_table():
    return SyntheticBenchmark()
