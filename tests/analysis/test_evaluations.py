"""Evaluations of surrogates in processes, and what of an older card is kept."""

import json
from dataclasses import replace
from itertools import product
from typing import Any

import numpy as np
import pytest

from metabench.analysis.evaluations import data_digest, evaluate_surrogates, kept_evaluations
from metabench.cli.output import plain
from metabench.surrogate import Measurements, Settings
from metabench.testing.synthetic import synthetic_table

BLOCKS = ("skip", "mlp.residual", "mlp.deq", "qp.box")
TREES = Settings(model="lightgbm", trees=10, leaves=8, members=3)
OTHER = replace(TREES, model="neural", hidden=8, steps=20)


@pytest.fixture(scope="module")
def measured() -> dict[str, Measurements]:
    rows = np.array([r for r in product(range(4), repeat=3) if sorted(r, key=lambda d: d == 0) == list(r)])
    return {
        f"task-{seed}": synthetic_table(rows, BLOCKS, (1, 4), seed=seed).measured.of_metrics(("test_score",))
        for seed in range(2)
    }


def evaluate(measured: dict[str, Measurements], settings: list[Settings], **options: Any) -> dict[str, Any]:
    found: dict[str, Any] = {}
    options = {"visited": {}, "kept": {}, **options}
    evaluate_surrogates(
        measured, settings, done=lambda task, model, e: found.setdefault(task, {}).update({model: e}), **options
    )
    return found


def test_processes_say_what_one_process_says(measured: dict[str, Measurements]) -> None:
    alone = evaluate(measured, [TREES])
    assert evaluate(measured, [TREES], workers=2) == alone
    assert {task: list(models) for task, models in alone.items()} == {"task-0": ["lightgbm"], "task-1": ["lightgbm"]}


def test_what_an_older_card_holds_of_the_same_measurements_is_not_done_again(
    measured: dict[str, Measurements],
) -> None:
    first = evaluate(measured, [TREES])
    card = json.loads(json.dumps(plain({"tasks": {task: {"surrogate": models} for task, models in first.items()}})))
    kept = kept_evaluations(card, measured)
    assert {task: list(models) for task, models in kept.items()} == {"task-0": ["lightgbm"], "task-1": ["lightgbm"]}
    assert evaluate(measured, [TREES], kept=kept) == {}
    again = evaluate(measured, [TREES, OTHER], kept=kept)
    assert [list(models) for models in again.values()] == [["neural"], ["neural"]]
    assert list(evaluate(measured, [replace(TREES, seed=1)], kept=kept)) == ["task-0", "task-1"]
    half = np.arange(len(measured["task-0"].digits)) % 2 == 0
    visited = {"task-0": {"even": half, "odd": ~half}}
    found = evaluate(measured, [TREES], kept=kept, visited=visited)
    assert list(found) == ["task-0"]
    whole = evaluate(measured, [TREES], visited=visited)["task-0"]["lightgbm"]
    assert found["task-0"]["lightgbm"] == whole  # only what was missing is fitted, and nothing else differs
    assert whole["leave_searcher_out"]["even"]["test"] == half.sum()
    kept["task-0"]["lightgbm"] = whole
    assert evaluate(measured, [TREES], kept=kept, visited=visited) == {}
    assert evaluate(measured, [TREES], kept=kept) == {}  # without searchers, what was found of them stays


def test_evaluations_of_other_measurements_and_damaged_cards_are_dropped(measured: dict[str, Measurements]) -> None:
    data = measured["task-0"]
    changed = replace(data, values=np.where(np.arange(2)[None, None, :, None] == 0, data.values, 0.5))
    card = {"tasks": {"task-0": {"surrogate": evaluate({"task-0": data}, [TREES])["task-0"]}}}
    assert kept_evaluations(card, {"task-0": data}) == {"task-0": card["tasks"]["task-0"]["surrogate"]}
    assert kept_evaluations(card, {"task-0": changed}) == {"task-0": {}}
    torn = {"tasks": {"task-0": {"surrogate": {"lightgbm": {"data": data_digest(data)}}}}}
    assert kept_evaluations(torn, {"task-0": data}) == {"task-0": {}}
    for damaged in (None, [], {"tasks": 1}, {"tasks": {"task-0": []}}, {"tasks": {"task-0": {"surrogate": [1]}}}):
        assert not any(kept_evaluations(damaged, {"task-0": data}).values())
