"""Statistics against values worked out by hand."""

import numpy as np
import pytest

from metabench.analysis.statistics import best_so_far, held_curves, quartile_curves, quartiles, regret_at, step_values

NAN = np.nan


def test_best_so_far_passes_over_failures():
    np.testing.assert_array_equal(best_so_far(np.array([NAN, 0.2, NAN, 0.1, 0.5])), [NAN, 0.2, 0.2, 0.2, 0.5])


def test_held_curves_hold_the_last_value_and_cut():
    curves = held_curves([np.array([3.0, 1.0]), np.array([4.0, 2.0, 2.0, 0.5]), np.array([])], 3)
    np.testing.assert_array_equal(curves, [[3, 1, 1], [4, 2, 2], [NAN, NAN, NAN]])


def test_regret_at_counts_from_one():
    curves = np.array([[3.0, 1.0], [4.0, 2.0]])
    np.testing.assert_array_equal(regret_at(curves, 1), [3, 4])
    np.testing.assert_array_equal(regret_at(curves, 2), [1, 2])


def test_step_values_change_at_the_instant_a_trial_ends():
    values = step_values(np.array([1.0, 2.5, 4.0]), np.array([9.0, 5.0, 1.0]), np.array([0.5, 1.0, 2.4, 2.5, 10.0]))
    np.testing.assert_array_equal(values, [NAN, 9, 9, 5, 1])


def test_step_values_of_trials_that_cost_nothing_take_the_last():
    np.testing.assert_array_equal(
        step_values(np.array([1.0, 1.0, 2.0]), np.array([9.0, 5.0, 1.0]), np.array([1.0])), [5]
    )


def test_quartiles_interpolate_linearly():
    # sorted 1 2 3 4: positions 0.75, 1.5, 2.25
    assert quartiles(np.array([4.0, 1.0, 3.0, 2.0, NAN])) == pytest.approx((1.75, 2.5, 3.25))
    assert quartiles(np.array([NAN])) == (None, None, None)


def test_quartile_curves_are_missing_until_every_run_has_a_value():
    curves = quartile_curves(np.array([[NAN, 1.0], [2.0, 2.0], [4.0, 3.0]]))
    assert np.isnan(curves[:, 0]).all()
    np.testing.assert_allclose(curves[:, 1], [1.5, 2.0, 2.5])
