"""Sections of a report on small folders whose numbers are worked out by hand."""

import json

import numpy as np
import pytest

from metabench.analysis.blocks import common_blocks, losses_over_time
from metabench.analysis.comparison import compare
from metabench.analysis.curves import band, evaluation_grid
from metabench.analysis.findings import findings, outcome_of_tests
from metabench.analysis.landscape import Landscape
from metabench.analysis.ranking import ranking_section
from metabench.analysis.report import build_report, report_on
from metabench.analysis.rounding import rounded
from metabench.analysis.runs import read_folder
from metabench.analysis.tradeoff import found_front, tradeoff_section

TASK = "cells9-v1/hills-v1"


def _trial(number, code, score, seconds, regret, incumbent):
    return {
        "number": number,
        "code": code,
        "architecture": f"block-{code}",
        "epoch": 20,
        "seed": 0,
        "val_score": score,
        "status": "ok",
        "simulated_seconds": seconds,
        "overhead_seconds": 0.001 * (number + 1),
        "incumbent": incumbent,
        "val_regret": regret,
        "test_regret": regret,
        "evaluations": float(number + 1),
    }


@pytest.fixture
def by_hand(made_up, tmp_path):
    """Searchers a and b, two seeds, two trials; regrets in tenths."""
    folder = made_up.folder(tmp_path / "run", searchers=("a", "b"), tasks=(TASK,), seeds=2, trials=2)
    regrets = {("a", 0): (0.4, 0.1), ("a", 1): (0.2, 0.2), ("b", 0): (0.3, 0.3), ("b", 1): (0.5, 0.2)}
    for (searcher, seed), (first, second) in regrets.items():
        pace = 1.0 if searcher == "a" else 2.0
        trials = [_trial(0, 1, 0.5, pace, first, 1), _trial(1, 2, 0.6, 2 * pace, second, 2)]
        made_up.run(folder, TASK, searcher, seed, trials)
    return compare([read_folder(folder)])


def test_bands_are_quartiles_over_seeds(by_hand):
    grid, quartiles = band(by_hand, "a", by_hand.tasks[0], "evaluations", "test")
    np.testing.assert_array_equal(grid, [1, 2])
    np.testing.assert_allclose(quartiles, [[0.25, 0.125], [0.3, 0.15], [0.35, 0.175]])


def test_mean_ranks_over_evaluations(by_hand):
    ranking = ranking_section(by_hand, {TASK: 1.0})
    # after 1: seed 0 b before a, seed 1 a before b; after 2: seed 0 a before b, seed 1 tied
    np.testing.assert_allclose(ranking["over_evaluations"]["mean_ranks"], [[1.5, 1.25], [1.5, 1.75]])
    np.testing.assert_allclose(ranking["mean_ranks"], [1.25, 1.75])
    assert ranking["blocks"] == 2
    assert ranking["cliques"] == [[0, 1]]


def test_time_is_a_share_of_the_median_run(by_hand):
    # runs end at 2, 2, 4 and 4 s: the whole is 3 s; a's first trial ends at 1/3, b's at 2/3 of it
    grid, losses = losses_over_time(common_blocks(by_hand))
    first_of_a, first_of_b = (grid[np.isfinite(losses[0, searcher])][0] for searcher in (0, 1))
    step = grid[1] / grid[0]
    assert 1 / 3 <= first_of_a < step / 3
    assert 2 / 3 <= first_of_b < step * 2 / 3


def test_evaluation_grid_is_whole_and_ends_at_the_budget():
    np.testing.assert_array_equal(evaluation_grid(3), [1, 2, 3])
    grid = evaluation_grid(1000)
    assert grid[0] == 1
    assert grid[-1] == 1000
    assert len(grid) < 241
    assert (grid == np.round(grid)).all()


def test_a_front_is_chosen_on_observed_validation(by_hand):
    landscape = Landscape(
        codes=np.array([1, 2, 3]),
        names=("x", "y", "z"),
        test_score=np.array([0.7, 0.6, 0.9]),
        costs={"nfe_forward": np.array([1.0, 2.0, 3.0]), "activation_bytes": np.ones(3), "params": np.ones(3)},
    )
    run = by_hand.runs("a", by_hand.tasks[0])[0]  # saw 1 (validation .5, cost 1) and 2 (.6, cost 2), not 3
    np.testing.assert_array_equal(found_front(run, landscape, "nfe_forward"), [0, 1])
    panel = tradeoff_section(by_hand, {TASK: landscape})[0]["panels"][0]
    assert panel["reference"] == {"cost": 3.0, "score": 0.6}
    # the true front is x, z; up to cost 3 only x counts: 2 * .1, and the found one covers the same
    assert panel["hypervolume"] == pytest.approx(0.2)
    assert panel["searchers"][0]["share"]["median"] == pytest.approx(1.0)
    assert [point["name"] for point in panel["front"]] == ["x", "z"]
    assert panel["searchers"][0]["incumbents"] == [{"name": "y", "cost": 2.0, "score": 0.6, "runs": 2}]
    assert landscape.regret_of_median == pytest.approx(0.2)


def test_rounding_leaves_json(by_hand):
    assert rounded({"a": np.array([1.23456789, np.nan]), "b": np.inf, "c": 12.0, "d": (True, None, "x")}) == {
        "a": [1.23457, None],
        "b": None,
        "c": 12,
        "d": [True, None, "x"],
    }


def test_a_report_is_json_and_the_same_every_time(made_up, tmp_path):
    folder = made_up.folder(tmp_path / "run")
    first, second = (build_report(folder, command="x") for _ in range(2))
    first["created"] = second["created"]
    assert json.dumps(first, allow_nan=False) == json.dumps(second)


def test_one_searcher_has_curves_and_no_ranks(made_up, tmp_path):
    document = build_report(made_up.folder(tmp_path / "run", searchers=("random",)))
    assert document["ranking"] is None
    assert document["summary"]["interquartile_means"][0]["value"] > 0
    assert document["anytime"][0]["curves"]["seconds"]["test"]["random"]["x"]
    assert findings(document)[0].startswith("random has an interquartile mean of final test regret: ")


def test_a_single_seed_has_no_intervals(made_up, tmp_path):
    document = build_report(made_up.folder(tmp_path / "run", tasks=(TASK,), seeds=1))
    assert all(row["interval"]["lower"] is None for row in document["leaderboard"])
    assert document["summary"]["interquartile_means"][0]["lower"] is None
    assert document["ranking"]["p_values"] is None
    assert document["ranking"]["cliques"] is None
    assert "no test can be made" in findings(document)[0]


def test_searchers_without_a_common_task_are_not_ranked(made_up, tmp_path):
    a = made_up.folder(tmp_path / "a", searchers=("random",), tasks=(TASK,))
    b = made_up.folder(tmp_path / "b", searchers=("local-search",), tasks=("cells9-v1/coast-v1",))
    document = build_report([a, b])
    assert document["ranking"] is None
    assert document["summary"] is None
    assert len(document["leaderboard"]) == 2


def test_words_claim_no_more_than_tests_show(made_up, tmp_path):
    speed = {"random": 0.1, "regularized-evolution": 0.1, "local-search": 2.0}
    folder = made_up.folder(tmp_path / "run", seeds=8, speed=speed)
    document = build_report(folder)
    assert "local-search has the best mean rank" in findings(document)[0]
    assert "differs from every other searcher (Wilcoxon-Holm)" in findings(document)[0]
    assert "Friedman's test over 24 blocks" in outcome_of_tests(document)
    document["ranking"]["p_values"] = np.ones((3, 3)).tolist()
    assert "cannot be told apart from random and regularized-evolution" in findings(document)[0]
    document["ranking"]["friedman_rejects"] = False
    assert "Friedman's test does not find that the searchers differ" in findings(document)[0]


def test_few_blocks_are_said_to_decide_nothing(by_hand):
    assert "With 2 blocks no pair can reach p < 0.05" in outcome_of_tests(report_on(by_hand))
