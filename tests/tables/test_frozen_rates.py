"""The learning rates that the shipped tasks freeze are the ones that the shipped check chose on validation."""

import json

import pytest

from metabench.content import identifiers, locate
from metabench.datasets import load_task
from metabench.tables.rate_check import best_rates, family


@pytest.mark.parametrize("name", identifiers("tasks", of="dataset"))
def test_frozen_rates_are_the_best_of_the_check(name: str) -> None:
    path = locate("tasks", name).parent / "rates" / f"{name}.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    best, rates = best_rates({(r["block"], r["rate"]): r["val_score"] for r in rows}), load_task(name).protocol
    for block in {row["block"] for row in rows}:
        assert rates.learning_rate.get(block, rates.learning_rate["default"]) == best[family(block)]
