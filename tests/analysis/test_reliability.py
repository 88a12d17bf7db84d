"""The statistics of the card against values by hand, by the F distribution and by scipy."""

import numpy as np
import pytest
from scipy.stats import kendalltau

from metabench.analysis.reliability import (
    kendall_tau,
    r_squared,
    reliability,
    seed_tau,
    sparse_tau,
    tau_ceiling,
)

# Shrout and Fleiss (1979), table 2: six subjects, four judges; their ICC(1, 1) is .17 (BMS 11.24, WMS 6.26).
SHROUT_FLEISS = np.array(
    [[9, 2, 5, 8], [6, 1, 3, 2], [8, 4, 6, 8], [7, 1, 2, 6], [10, 5, 6, 9], [6, 2, 4, 7]], dtype=float
)


def test_the_textbook_example() -> None:
    found = reliability(SHROUT_FLEISS)
    assert found.icc == pytest.approx(0.17, abs=0.005)
    assert found.seed_sd**2 == pytest.approx(6.26, abs=0.005)
    assert found.architecture_sd**2 == pytest.approx((11.24 - 6.26) / 4, abs=0.005)
    # By hand: F = 1.795, F(.975; 5, 18) = 3.382, F(.975; 18, 5) = 6.362 (tables): (.531 - 1) / (.531 + 3) and
    # (11.42 - 1) / (11.42 + 3).
    assert found.icc_low == 0.0
    assert found.icc_high == pytest.approx(0.723, abs=0.003)
    # Their ICC(3, 1) is .71 (EMS 1.02). By hand: F = 11.03, F(.975; 5, 15) = 3.576, F(.975; 15, 5) = 6.428 (tables):
    # (3.084 - 1) / (3.084 + 3) and (70.9 - 1) / (70.9 + 3).
    assert found.consistency == pytest.approx(0.71, abs=0.005)
    assert found.consistency_low == pytest.approx(0.343, abs=0.003)
    assert found.consistency_high == pytest.approx(0.946, abs=0.003)
    assert found.shift_sd == pytest.approx(SHROUT_FLEISS.mean(axis=0).std(ddof=1))
    assert found.r2_ceiling == pytest.approx(1 - 1.02 / 11.24, abs=0.001)


def test_the_ratio_of_the_variances_that_were_put_in() -> None:
    generator = np.random.default_rng(1)
    scores = 0.5 + 0.06 * generator.normal(size=(4000, 1)) + 0.03 * generator.normal(size=(4000, 3))
    found = reliability(scores)
    truth = 0.06**2 / (0.06**2 + 0.03**2)  # 0.8
    assert found.icc == pytest.approx(truth, abs=0.02)
    assert found.icc_low is not None
    assert found.icc_high is not None
    assert found.icc_low < truth < found.icc_high
    assert found.architecture_sd == pytest.approx(0.06, rel=0.03)
    assert found.seed_sd == pytest.approx(0.03, rel=0.03)
    assert found.r2_ceiling == pytest.approx(0.06**2 / (0.06**2 + 0.03**2 / 3), abs=0.01)


def test_the_interval_holds_the_truth_as_often_as_it_says() -> None:
    generator, inside = np.random.default_rng(2), 0
    for _ in range(400):
        found = reliability(generator.normal(size=(30, 1)) + generator.normal(size=(30, 3)))
        assert found.icc_low is not None
        assert found.icc_high is not None
        inside += found.icc_low <= 0.5 <= found.icc_high
    assert 0.92 <= inside / 400 <= 0.98


def test_ceilings_are_what_a_perfect_model_reaches() -> None:
    generator = np.random.default_rng(3)
    truth = generator.normal(size=3000)
    scores = truth[:, None] + 0.7 * generator.normal(size=(3000, 3))
    found = reliability(scores)
    assert found.r2_ceiling == pytest.approx(r_squared(truth, scores.mean(axis=1)), abs=0.02)
    assert found.tau_ceiling == pytest.approx(kendall_tau(truth, scores.mean(axis=1)), abs=0.02)
    # By hand: tau 1/3 is rho 1/2, of two seeds' mean 2/3, and 2 / pi * arcsin(sqrt(2 / 3)) = .6082.
    assert tau_ceiling(1 / 3, 2) == pytest.approx(0.6082, abs=1e-4)
    assert tau_ceiling(-0.1, 3) == 0.0
    assert tau_ceiling(None, 3) is None


def test_a_shift_of_all_scores_is_no_noise_in_means() -> None:
    generator = np.random.default_rng(7)
    scores = generator.normal(size=(2000, 1)) + 0.7 * generator.normal(size=(2000, 3))
    shifted = scores + np.array([-2.0, 0.0, 3.0])
    plain, found = reliability(scores), reliability(shifted)
    assert found.icc is not None
    assert plain.icc is not None
    assert found.icc < plain.icc - 0.2
    assert found.consistency == pytest.approx(plain.consistency)
    assert found.r2_ceiling == pytest.approx(plain.r2_ceiling)
    assert plain.consistency == pytest.approx(plain.icc, abs=0.005)
    shifted[::3, 1:] = np.nan  # a third has one seed: the shifts are known from the others
    assert reliability(shifted).consistency == pytest.approx(plain.consistency, abs=0.03)


def test_an_outlier_does_not_raise_the_ceiling_of_tau() -> None:
    generator = np.random.default_rng(6)
    truth = generator.normal(size=300)
    truth[0] = -100.0
    scores = truth[:, None] + generator.normal(size=(300, 3))
    found = reliability(scores)
    assert found.tau_ceiling == pytest.approx(kendall_tau(truth, scores.mean(axis=1)), abs=0.05)
    assert found.icc is not None
    assert found.icc > 0.9  # where the honest figure of the others is 0.5


def test_missing_cells_are_passed_over() -> None:
    scores = SHROUT_FLEISS.copy()
    scores = np.vstack([scores, np.full(4, np.nan)])
    assert reliability(scores) == reliability(SHROUT_FLEISS)
    scores[0, 1:3] = np.nan
    found = reliability(scores)
    assert found.architectures == 6
    assert found.replicates == pytest.approx((22 - (5 * 16 + 4) / 22) / 5)  # n0 of sizes 2, 4, 4, 4, 4, 4
    assert reliability(scores[:, :1]).icc is None  # one seed


def test_tau_is_scipys() -> None:
    generator = np.random.default_rng(4)
    a, b = generator.integers(0, 20, 50).astype(float), generator.normal(size=50)
    b[3] = np.nan
    known = ~np.isnan(b)
    assert kendall_tau(a, b) == pytest.approx(kendalltau(a[known], b[known]).statistic)
    assert kendall_tau(a, np.ones(50)) is None
    assert seed_tau(np.stack([b, b, -b], axis=1)) == pytest.approx((1 - 1 - 1) / 3)
    assert seed_tau(b[:, None]) is None


def test_sparse_tau_rounds_predictions_only() -> None:
    # 0.5001 and 0.5004 tie at 0.500: of three pairs one is tied in the prediction, two agree: 2 / sqrt(2 * 3).
    predicted, measured = np.array([0.5004, 0.5001, 0.6]), np.array([0.51, 0.52, 0.6])
    assert sparse_tau(predicted, measured) == pytest.approx(2 / np.sqrt(6))
    assert kendall_tau(predicted, measured) == pytest.approx(1 / 3)


def test_r_squared_by_hand() -> None:
    assert r_squared(np.array([1.0, 2, 3]), np.array([1.0, 2, 4])) == pytest.approx(1 - (1 / 3) / (14 / 9))
    assert r_squared(np.array([1.0, 2, 3]), np.ones(3)) is None
