"""Aggregates by hand and against rliable.

rliable 1.2.0 (with arch 7.2.0 and pandas 2.3.3, as it breaks on pandas 3) printed the numbers below on ``-FIRST`` and
``-SECOND``, since its scores are rewards: ``metrics.aggregate_iqm``, ``metrics.probability_of_improvement``,
``library.create_performance_profile`` and ``library.get_interval_estimates`` (50,000 and 20,000 resamples).
"""

import numpy as np
import pytest
from scipy.stats import trim_mean

from metabench.analysis.aggregate import (
    bootstrap_interval,
    improvement_interval,
    interquartile_mean,
    performance_profile,
    probability_of_improvement,
    profile_bands,
)

# runs x tasks
FIRST = np.array([[0.18, 0.75, 6.57], [0.98, 2.39, 1.41], [2.43, 1.57, 0.64], [0.79, 1.93, 1.01], [0.19, 2.18, 3.02]])
SECOND = np.array([[0.98, 2.31, 0.29], [3.45, 1.07, 0.56], [0.85, 0.67, 0.4], [1.18, 1.35, 1.02], [1.34, 1.05, 0.66]])
FIRST_STRATA, SECOND_STRATA = list(FIRST.T), list(SECOND.T)


@pytest.fixture
def generator():
    return np.random.default_rng(3)


def test_interquartile_mean_by_hand():
    # a quarter of 5 is 1.25, rounded down to 1: the mean of 2, 4 and 6
    assert interquartile_mean(np.array([100.0, 4.0, -7.0, 2.0, 6.0])) == 4.0


def test_interquartile_mean_is_scipys_and_rliables():
    assert interquartile_mean(FIRST.ravel()) == pytest.approx(trim_mean(FIRST.ravel(), 0.25))
    assert interquartile_mean(FIRST.ravel()) == pytest.approx(1.4455555555555555)
    assert interquartile_mean(SECOND.ravel()) == pytest.approx(0.98)


def test_interquartile_mean_bears_failures_that_it_cuts_off():
    assert interquartile_mean(np.array([np.inf, 1.0, 2.0, 3.0])) == 2.5
    assert interquartile_mean(np.array([np.inf, np.inf, 2.0, 3.0])) == np.inf


def test_bootstrap_interval_is_rliables(generator):
    found = bootstrap_interval(FIRST_STRATA, interquartile_mean, generator, resamples=50_000)
    assert found.value == pytest.approx(1.4455555555555555)
    assert (found.lower, found.upper) == pytest.approx((0.96, 2.03888889), abs=0.02)  # both are random


def test_bootstrap_resamples_within_tasks(generator):
    # Every task is constant: nothing can vary, though the tasks differ.
    found = bootstrap_interval([np.full(4, 1.0), np.full(4, 9.0)], interquartile_mean, generator)
    assert found == (5.0, 5.0, 5.0)


def test_one_run_a_task_has_no_interval(generator):
    assert bootstrap_interval([np.array([1.0]), np.array([3.0])], interquartile_mean, generator) == (2.0, None, None)
    assert improvement_interval([np.array([1.0])], [np.array([3.0])], generator) == (1.0, None, None)
    assert profile_bands([np.array([1.0])], np.array([1.0]), generator) is None


def test_performance_profile_is_rliables(generator):
    # rliable counts runs strictly above -4, -2, -1, -.5 (here moved by 1e-12, so that ties count as here)
    thresholds = np.array([4.0, 2.0, 1.0, 0.5])
    np.testing.assert_allclose(performance_profile(FIRST_STRATA, thresholds), [14 / 15, 10 / 15, 6 / 15, 2 / 15])
    lower, upper = profile_bands(FIRST_STRATA, thresholds, generator, resamples=2000)
    np.testing.assert_allclose(lower, [0.8, 0.4, 0.2, 0.0], atol=0.07)  # one run of 15
    np.testing.assert_allclose(upper, [1.0, 0.8666666667, 0.6, 0.2666666667], atol=0.07)


def test_performance_profile_counts_a_tie_as_reached():
    np.testing.assert_array_equal(performance_profile([np.array([1.0, 2.0])], np.array([0.5, 1.0, 2.0])), [0, 0.5, 1])


def test_probability_of_improvement_is_rliables(generator):
    assert probability_of_improvement(FIRST_STRATA, SECOND_STRATA) == pytest.approx(0.39333333333333337)
    found = improvement_interval(FIRST_STRATA, SECOND_STRATA, generator, resamples=20_000)
    assert (found.lower, found.upper) == pytest.approx((0.22666667, 0.57333333), abs=0.02)


def test_probability_of_improvement_by_hand():
    # 1 < 2, 1 < 3, 2 = 2 (half), 2 < 3: 3.5 of 4
    assert probability_of_improvement([np.array([1.0, 2.0])], [np.array([2.0, 3.0])]) == 3.5 / 4
    assert probability_of_improvement([np.array([np.inf])], [np.array([np.inf])]) == 0.5


def test_the_same_generator_gives_the_same_interval():
    found = [
        bootstrap_interval(FIRST_STRATA, interquartile_mean, np.random.default_rng(seed), resamples=100)
        for seed in (0, 0, 1)
    ]
    assert found[0] == found[1] != found[2]
