"""The card of tables whose effects are known."""

import json
from dataclasses import replace
from itertools import product
from pathlib import Path

import numpy as np
import pytest

from metabench.analysis.baselines import baseline_figures, folds
from metabench.analysis.card import table_card, task_card
from metabench.analysis.card_figures import save_card_figures
from metabench.analysis.effects import Contrast, contrasts, kind_of, lift_effects, paired_effect
from metabench.analysis.surrogate_card import block_family, calibration_figures, one_seed_test, surrogate_card
from metabench.cli.output import plain
from metabench.surrogate import Prediction, Settings
from metabench.testing.synthetic import SyntheticTable, synthetic_table

BLOCKS = ("skip", "mlp.residual", "mlp.deq", "mlp.deq-monotone", "gated.residual", "gated.deq", "qp.box")
FAST = Settings(trees=20, leaves=8, members=3)


@pytest.fixture(scope="module")
def table() -> SyntheticTable:
    rows = [r for r in product(range(7), repeat=3) if sorted(r, key=lambda d: d == 0) == list(r)]
    return synthetic_table(np.array(rows), BLOCKS, (1, 4, 16), noise_sd=0.02, interaction_sd=0.01)


def test_the_replacements_that_are_asked_about() -> None:
    assert contrasts(BLOCKS) == [
        Contrast("mlp.residual", "mlp.deq"),
        Contrast("mlp.residual", "mlp.deq-monotone"),
        Contrast("mlp.deq", "mlp.deq-monotone"),
        Contrast("mlp.residual", "gated.residual"),
        Contrast("gated.residual", "gated.deq"),
        Contrast("mlp.residual", "qp.box"),
        Contrast("mlp.residual,mlp.residual", "gated.residual"),
        Contrast("mlp.deq,mlp.deq", "gated.deq"),
    ]
    kinds = [kind_of(b) for b in (*BLOCKS[1:], "gated.tied", "mlp.ode-antisymmetric")]
    assert kinds == ["explicit", "equilibrium", "equilibrium", "explicit", "equilibrium", "argmin", "explicit", "ODE"]
    assert [block_family(b) for b in ("mlp.deq-monotone", "gated.deq", "qp.box", "mlp.tied")] == [
        "deq",
        "deq",
        "qp",
        "tied",
    ]


def test_an_effect_that_was_put_in_is_found_with_all_its_pairs() -> None:
    rows = np.array([r for r in product(range(7), repeat=3) if sorted(r, key=lambda d: d == 0) == list(r)])
    generator = np.random.default_rng(0)
    amount = np.array([0, 0, 0.03, -0.01, 0, 0, 0])
    scores = 0.5 + amount[rows].sum(axis=1)[:, None] + 0.01 * generator.normal(size=(len(rows), 3))
    scores[5] = np.nan
    params = 100.0 * np.array([0, 1, 1, 1, 2, 2, 1])[rows].sum(axis=1)
    found = {(e.before, e.after, e.depth, e.stage): e for e in lift_effects(rows, BLOCKS, scores, params)}
    whole = found["mlp.residual", "mlp.deq", 3, None]
    # Three stages, six blocks at both others; row 5 (residual, residual, monotone) is missing from two pairs.
    assert whole.pairs == 3 * 36 - 2
    assert whole.mean == pytest.approx(0.03, abs=0.003)
    assert whole.low is not None
    assert whole.high is not None
    assert whole.low < 0.03 < whole.high
    assert whole.high - whole.low < 0.01
    assert whole.better > 0.95
    assert whole.parameters == 0
    two = found["mlp.deq,mlp.deq", "gated.deq", 3, None]
    assert (two.pairs, two.parameters) == (2 * 6, 0)  # at the first or the second place, beside one of six
    assert two.mean == pytest.approx(-0.06, abs=0.01)
    assert found["mlp.deq,mlp.deq", "gated.deq", 2, None].pairs == 1
    assert found["mlp.residual", "gated.residual", 3, 1].parameters == 100
    assert found["mlp.deq", "mlp.deq-monotone", 2, 1].mean == pytest.approx(-0.04, abs=0.01)
    assert found["mlp.deq", "mlp.deq-monotone", 2, 1].pairs == 6
    assert found["mlp.residual", "mlp.deq", 1, None].low is None  # a single pair has no interval


def test_the_bootstraps_interval_covers_pairs_and_seeds() -> None:
    # 60 pairs of mean 1 and sd 1, noise of seeds 0.5: the mean's standard error is sqrt((1 + 0.25 / 3) / 60).
    generator, widths, inside = np.random.default_rng(1), [], 0
    for _ in range(100):
        differences = 1 + generator.normal(size=(60, 1)) + 0.5 * generator.normal(size=(60, 3))
        mean, low, high = paired_effect(differences, 300, generator)
        assert mean == pytest.approx(differences.mean())
        widths.append(high - low)
        inside += low <= 1 <= high
    exact = 2 * 1.96 * np.sqrt((1 + 0.25 / 3) / 60)
    # Between sqrt(59 / 60) of the exact width (resampling sees the sample's variance) and conservative (Owen 2007).
    assert 0.97 * exact <= np.mean(widths) <= 1.25 * exact
    assert inside >= 90


def test_baselines_know_what_they_should() -> None:
    rows = np.array(list(product(range(5), repeat=3)))
    generator = np.random.default_rng(2)
    effects = generator.normal(size=(3, 5))
    additive = sum(effects[i][rows[:, i]] for i in range(3))
    params = generator.integers(0, 4, len(rows)).astype(float)
    found = baseline_figures(rows, 5, params, additive)
    assert found["additive in the blocks"]["r2"] > 0.99
    assert found["parameters only"]["r2"] < 0.2
    found = baseline_figures(rows, 5, params, params**2)
    assert found["parameters only"]["r2"] == pytest.approx(1)
    assert found["parameters only"]["kendall_tau"] == pytest.approx(1)
    assert np.bincount(folds(53, 5)).tolist() == [11, 11, 11, 10, 10]


def test_a_card_says_what_is_there(table: SyntheticTable) -> None:
    card = task_card(table.measured, draws=100)
    assert (card["measured"], card["share"], card["seeds"]) == (259, 1.0, 3)
    truth = table.truth.var() / (table.truth.var() + table.noise_sd**2)
    assert card["reliability"]["icc"] == pytest.approx(truth, abs=0.04)
    assert card["epoch_to_final_kendall_tau"]["16"] == pytest.approx(1)
    assert card["epoch_to_final_kendall_tau"]["1"] < card["epoch_to_final_kendall_tau"]["4"] < 1
    validation = table.measured.means()[:, -1, 1]
    names = [",".join(BLOCKS[d] for d in row if d) or "skip" for row in table.measured.digits]
    assert card["best"][0]["architecture"] == names[validation.argmax()]
    assert card["worst"][0]["architecture"] == names[validation.argmin()]
    assert [entry["blocks"] for entry in card["by_blocks"]] == [0, 1, 2, 3]
    assert (card["diverged"], card["unconverged"]) == (0, 0)


def test_a_partial_table_has_a_card_and_says_its_share(table: SyntheticTable, tmp_path: Path) -> None:
    values = table.measured.values.copy()
    values[100:] = np.nan
    values[:10, 2] = np.nan
    values[20, 0, :, 0] = np.inf  # diverged
    values[30:33, 0, :, 5] = 0.2  # a fifth of the samples unconverged
    costs = table.measured.costs.copy()
    costs[100:] = np.nan
    partial = replace(table.measured, values=values, costs=costs)
    empty = replace(table.measured, values=np.full_like(values, np.nan))
    card = table_card("made-up", {"partial": partial, "empty": empty}, draws=50)
    assert card["tasks"]["partial"]["share"] == pytest.approx(100 / 259)
    assert card["tasks"]["partial"]["share_of_trainings"] == pytest.approx(290 / (3 * 259))
    assert card["tasks"]["partial"]["diverged"] == pytest.approx(1 / 290)
    assert card["tasks"]["partial"]["unconverged"] == pytest.approx(3 / 290)
    assert all(effect["parameters"] is not None for effect in card["tasks"]["partial"]["effects"])
    assert card["tasks"]["empty"]["measured"] == 0
    assert card["between_task_kendall_tau"] == {"partial": {"empty": None}, "empty": {"partial": None}}
    json.dumps(plain(card), allow_nan=False)
    figures = save_card_figures(card, {"partial": partial, "empty": empty}, tmp_path)
    assert {path.name for path in figures} == {"scores.png", "epochs.png", "effects.png"}
    assert all(path.read_bytes()[:4] == b"\x89PNG" for path in figures)


def test_between_tasks(table: SyntheticTable) -> None:
    upside_down = table.measured.values.copy()
    upside_down[..., 2] = 1 - upside_down[..., 2]
    measured = {"a": table.measured, "b": table.measured, "c": replace(table.measured, values=upside_down)}
    taus = table_card("made-up", measured, draws=20)["between_task_kendall_tau"]
    assert taus["a"]["b"] == pytest.approx(1)
    half = {"a": table.measured, "b": table.measured.take(np.arange(len(table.truth)) % 2 == 0)}
    assert table_card("made-up", half, draws=20)["between_task_kendall_tau"]["a"]["b"] == pytest.approx(1)
    assert taus["a"]["c"] == pytest.approx(-1)


def test_calibration_of_a_known_normal() -> None:
    generator = np.random.default_rng(5)
    shape, values = (4000, 1, 1), 0.5 + 0.05 * generator.normal(size=(4000, 1))
    right = Prediction(("test_score",), np.full(shape, 0.5), np.full(shape, 0.03), np.full(shape, 0.04))
    found = calibration_figures(right, values)["replicate"]
    for level, share in found["coverage"].items():
        assert share == pytest.approx(float(level), abs=0.025)
    assert found["nll"] == pytest.approx(0.5 * np.log(2 * np.pi * 0.05**2) + 0.5, abs=0.03)
    narrow = Prediction(("test_score",), np.full(shape, 0.5), np.full(shape, 0.01), np.full(shape, 0.01))
    assert calibration_figures(narrow, values)["replicate"]["coverage"]["0.95"] < 0.5


def test_a_surrogate_of_one_seed_beats_that_seeds_table() -> None:
    rows = np.array(list(product(range(1, 7), repeat=3)))
    noisy = synthetic_table(rows, BLOCKS, (1, 4), noise_sd=0.04, seed=3).measured.of_metrics(("test_score",))
    found = one_seed_test(noisy, FAST, k=3)
    assert found is not None
    assert found["surrogate_beats_table"]
    # |y - mean of two others| of normal noise: 0.04 sqrt(3 / 2) sqrt(2 / pi).
    assert found["mean_absolute_error"]["table"] == pytest.approx(0.04 * np.sqrt(3 / np.pi), rel=0.05)
    assert found["mean_absolute_error"]["surrogate_unseen"] > found["mean_absolute_error"]["surrogate_seen"]
    quiet = synthetic_table(rows, BLOCKS, (1, 4), noise_sd=1e-4, seed=3).measured.of_metrics(("test_score",))
    assert not one_seed_test(quiet, FAST, k=3)["surrogate_beats_table"]  # type: ignore[index]
    assert one_seed_test(noisy.of_seeds([0]), FAST) is None


def test_the_whole_evaluation(table: SyntheticTable) -> None:
    data = table.measured.of_metrics(("val_score", "test_score"))
    half = np.arange(len(table.truth)) % 2 == 0
    card = surrogate_card(data, FAST, k=3, visited={"even": half, "odd": ~half})
    test = card["cross_validation"]["last_epoch"]["test_score"]
    assert 0.7 < test["r2"] < test["r2_ceiling"] + 0.05
    assert 0.5 < test["sparse_kendall_tau"] <= 1
    assert set(card["cross_validation"]["by_epoch"]["test_score"]) == {"1", "4", "16"}
    assert set(card["leave_family_out"]) == {"residual", "deq", "qp"}
    assert card["leave_family_out"]["qp"]["train"] == 1 + 5 + 25 + 125
    sizes = [point["train"] for point in card["learning_curve"]]
    assert sizes == [50, 100, 172]
    assert set(card["cross_validation"]["by_blocks"]) == {"1", "2", "3"}
    assert card["learning_curve"][-1]["r2"] > card["learning_curve"][0]["r2"]
    assert card["leave_searcher_out"]["even"]["test"] == 130
    assert card["leave_searcher_out"]["even"]["train"] == 129
    assert card["one_seed"]["mean_absolute_error"]["table"] > 0
    json.dumps(plain(card), allow_nan=False)
