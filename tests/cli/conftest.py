"""A small made-up benchmark, so that screens are tested on known numbers."""

from __future__ import annotations

import math
from typing import Any

import pytest

import metabench.tables
from metabench.spaces import load_space
from metabench.tables.result import Result, Status


class MadeUpBenchmark:
    """Scores that follow from the code: val = code / 1000, test = val + seed / 100."""

    def __init__(self, name: str, kind: str = "table") -> None:
        self.id = name
        self.kind = kind
        self.space_definition = load_space(name.partition("/")[0])
        self.epochs = (1, 4, 20)
        self.seeds = (0, 1, 2)

    def query(self, architecture: Any, *, epoch: int | None = None, seed: int | str = "mean") -> Any:
        code = self.space_definition.code(architecture)
        if seed == "all":
            return [self._result(code, epoch or 20, one) for one in self.seeds]
        return self._result(code, epoch or 20, seed)

    def best(self, k: int = 1, metric: str = "val_score") -> list[Result]:
        return [self._result(int(code), 20, "mean") for code in self.space_definition.canonical_codes[::-1][:k]]

    def _result(self, code: int, epoch: int, seed: int | str) -> Result:
        return Result(
            architecture=self.space_definition.architecture(code).blocks,
            code=code,
            epoch=epoch,
            seed=seed,
            train_loss=0.5,
            val_score=code / 1000,
            test_score=code / 1000 + (0.01 * seed if isinstance(seed, int) else 0.01),
            nfe_forward=12.25,
            nfe_backward=3.0,
            unconverged=0.125,
            residual=2.5e-5,
            train_seconds=1.5,
            params=12345.0,
            flops=67890.0,
            activation_bytes=2048.0,
            latency_s=math.nan,
            status=Status.OK,
            provenance={"commit": "abc"},
        )


@pytest.fixture
def made_up(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every benchmark that is opened is the made-up one."""
    monkeypatch.setattr(metabench.tables, "open_benchmark", MadeUpBenchmark, raising=False)
