"""Fronts and hypervolumes by hand and against pymoo.

pymoo 0.6.2 printed, on ``POINTS`` with scores turned round (it minimises): ``HV(ref_point=[0.9, 0.8])`` 0.5647, and
``NonDominatedSorting().do(..., only_non_dominated_front=True)`` rows 9 and 11.
"""

import numpy as np
import pytest

from metabench.analysis.pareto import hypervolume, pareto_front

POINTS = np.array(
    [
        [0.92, 0.84],
        [0.11, 0.6],
        [0.48, 0.59],
        [0.66, 0.31],
        [0.96, 0.47],
        [0.63, 0.64],
        [0.18, 0.06],
        [0.41, 0.76],
        [0.82, 0.73],
        [0.11, 0.91],
        [0.8, 0.88],
        [0.52, 0.92],
    ]
)
STEPS = (np.array([1.0, 2.0, 3.0, 2.5]), np.array([0.2, 0.5, 0.9, 0.4]))


def test_front_and_hypervolume_are_pymoos():
    assert pareto_front(*POINTS.T).tolist() == [9, 11]
    assert hypervolume(*POINTS.T, (0.9, 0.2)) == pytest.approx(0.5647)  # 1 - 0.8


def test_hypervolume_by_hand():
    # steps of width 1, 1, 2 (up to cost 5) and heights .1, .4, .8 above .1
    assert pareto_front(*STEPS).tolist() == [0, 1, 2]
    assert hypervolume(*STEPS, (5.0, 0.1)) == pytest.approx(0.1 + 0.4 + 2 * 0.8)


def test_points_beyond_the_reference_add_nothing():
    assert hypervolume(*STEPS, (2.5, 0.3)) == pytest.approx(0.5 * 0.2)
    assert hypervolume(*STEPS, (1.0, 0.0)) == 0.0


def test_of_equal_points_the_first_stands_and_nan_is_passed_over():
    costs, scores = np.array([1.0, 1.0, 1.0, np.nan, 0.5]), np.array([0.5, 0.7, 0.7, 9.0, np.nan])
    assert pareto_front(costs, scores).tolist() == [1]
    assert hypervolume(costs, scores, (2.0, 0.0)) == pytest.approx(0.7)
    assert pareto_front(np.empty(0), np.empty(0)).tolist() == []
