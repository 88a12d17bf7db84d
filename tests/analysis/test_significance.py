"""Ranks, tests and cliques by hand and against peers.

The peers' numbers were printed once by scikit-posthocs 0.17.1, autorank 1.3.0 and SciPy 1.17.1 on ``LOSSES``:
``posthoc_wilcoxon(LOSSES.T.tolist(), p_adjust="holm")`` and
``autorank(DataFrame(-LOSSES), alpha=0.05, force_mode="nonparametric")``.
"""

import numpy as np
import pytest
from scipy.stats import PermutationMethod, mannwhitneyu, rankdata, wilcoxon

from metabench.analysis.significance import cliques, friedman, holm, rank, rank_sum, signed_rank, wilcoxon_holm

LOSSES = np.array(
    [
        [1.668, 0.535, 1.26, 0.611],
        [1.109, 0.953, 1.987, 0.57],
        [0.464, 0.096, 0.558, 0.657],
        [1.605, 0.148, 2.05, 0.289],
        [0.826, 1.236, 1.679, 0.613],
        [1.767, 0.144, 2.008, 2.034],
        [0.548, 1.011, 2.984, 0.94],
        [0.938, 0.455, 0.611, 0.499],
        [3.625, 0.335, 0.21, 0.54],
        [2.725, 0.494, 4.96, 0.457],
        [1.516, 0.241, 1.273, 0.931],
        [2.687, 1.371, 2.793, 0.754],
    ]
)


def test_ranks_share_ties_and_put_infinity_last():
    np.testing.assert_array_equal(rank(np.array([[3.0, 1.0, 1.0, np.inf]])), [[3, 1.5, 1.5, 4]])


def test_mean_ranks_are_autoranks():
    np.testing.assert_allclose(rank(LOSSES).mean(axis=0), [2.9166666667, 1.6666666667, 3.3333333333, 2.0833333333])


def test_friedman_is_autoranks():
    found = friedman(LOSSES)
    assert found is not None
    assert found.statistic == pytest.approx(12.5)
    assert found.p_value == pytest.approx(0.005852662593326735)


def test_friedman_by_hand_with_ties():
    # Two blocks, ranks (1, 2, 3) and (1, 2.5, 2.5): rank sums 2, 4.5, 5.5, about their mean 4: squares 4, .25, 2.25.
    # 12 / (n k (k + 1)) * 6.5 = 12 / 24 * 6.5 = 3.25; one tie of two: divided by 1 - 6 / (n k (k^2 - 1)) = 1 - 6 / 48.
    found = friedman(np.array([[1.0, 2.0, 3.0], [1.0, 5.0, 5.0]]))
    assert found is not None
    assert found.statistic == pytest.approx(3.25 / (1 - 6 / 48))
    assert found.p_value == pytest.approx(np.exp(-3.25 / (1 - 6 / 48) / 2))  # chi-squared with 2 degrees of freedom


def test_friedman_needs_three_searchers_and_two_blocks():
    assert friedman(LOSSES[:, :2]) is None
    assert friedman(LOSSES[:1]) is None
    assert friedman(np.ones((4, 3))) == (0.0, 1.0)


def test_holm_by_hand():
    # sorted .01 .02 .03 .04 times 4 3 2 1: .04 .06 .06 .04, and never below the one before
    np.testing.assert_allclose(holm(np.array([0.04, 0.01, 0.03, 0.02])), [0.06, 0.04, 0.06, 0.06])
    np.testing.assert_allclose(holm(np.array([0.5, 0.9])), [1.0, 1.0])


def test_wilcoxon_holm_is_scikit_posthocs():
    a, b, c = 0.0463867188, 0.7607421875, 0.005859375
    wanted = [[1, a, b, a], [a, 1, c, b], [b, c, 1, a], [a, b, a, 1]]
    np.testing.assert_allclose(wilcoxon_holm(LOSSES), wanted, rtol=1e-8)


def test_wilcoxon_by_hand():
    # Five blocks, all in favour of the first: two of the 2^5 sign patterns are as extreme.
    losses = np.column_stack([np.zeros(5), [1.0, 2.0, 3.0, 4.0, 5.0]])
    assert wilcoxon_holm(losses)[0, 1] == pytest.approx(2 / 32)


def test_signed_rank_is_scipys_exact_one_without_ties():
    generator = np.random.default_rng(5)
    for count in (1, 2, 5, 13, 40):
        differences = generator.normal(0.3, 1.0, count)
        assert signed_rank(differences) == pytest.approx(wilcoxon(differences, method="exact").pvalue, rel=1e-9)


def test_signed_rank_is_exact_with_ties():
    # Five equal differences: 2 of the 32 sign patterns are as extreme. Then ranks 2, 2, 2, 4 with signs - + + +: the
    # sum is 8 of 10; of 16 patterns 1 gives 10 and 3 give 8, and as many do at the other end.
    assert signed_rank(np.full(5, 0.3)) == 2 / 32
    assert signed_rank(np.array([-1.0, 1.0, 1.0, 2.0])) == pytest.approx(8 / 16)
    ties = np.array([1, 1, -2, 2, 3, 3, 3, -1, 4, 5, 5], dtype=float)
    # all 2^11 sign patterns, by SciPy
    peer = wilcoxon(ties, method=PermutationMethod(n_resamples=np.inf)).pvalue
    assert signed_rank(ties) == pytest.approx(peer)


def test_signed_rank_leaves_zeros_out_and_is_two_sided():
    differences = np.array([0.0, 1.0, 2.0, -3.0, 0.0, 4.0])
    assert signed_rank(differences) == signed_rank(differences[differences != 0]) == signed_rank(-differences)
    assert signed_rank(np.zeros(4)) == 1.0


def test_signed_rank_of_many_is_near_the_exact_one():
    differences = np.random.default_rng(2).normal(0.15, 1.0, 201)
    exact = wilcoxon(differences, method="exact").pvalue
    assert signed_rank(differences) == pytest.approx(exact, abs=1e-3)
    assert signed_rank(differences) != exact


def test_rank_sum_by_hand():
    # Three against three, all lower: 2 of the 20 choices of three are as extreme. Then pooled 1 1 2 3 with ranks 1.5
    # 1.5 3 4: of 6 pairs one has the sum 3, as {1, 1} has, and one the greatest, 7.
    assert rank_sum(np.array([1.0, 2.0, 3.0]), np.array([4.0, 5.0, np.inf])) == pytest.approx(2 / 20)
    assert rank_sum(np.array([1.0, 1.0]), np.array([2.0, 3.0])) == pytest.approx(2 / 6)
    assert rank_sum(np.ones(3), np.ones(5)) == 1.0


@pytest.mark.parametrize(("n", "m"), [(1, 4), (3, 3), (8, 5), (20, 20)])
def test_rank_sum_is_scipys_exact_one_without_ties(n, m):
    generator = np.random.default_rng(n)
    first, second = generator.normal(0.0, 1.0, n), generator.normal(0.8, 1.0, m)
    assert rank_sum(first, second) == pytest.approx(mannwhitneyu(first, second, method="exact").pvalue, rel=1e-9)


def test_rank_sum_is_exact_with_ties():
    first, second = np.array([1.0, 1, 2, 2, 4]), np.array([2.0, 3, 3, 4, 4, 5])
    # all choices of 5 out of 11, by SciPy
    peer = mannwhitneyu(first, second, method=PermutationMethod(n_resamples=np.inf)).pvalue
    assert rank_sum(first, second) == pytest.approx(peer)
    assert rank_sum(second, first) == pytest.approx(peer)


def test_rank_sum_of_many_is_near_the_exact_one():
    generator = np.random.default_rng(7)
    first, second = generator.normal(0.0, 1.0, 101), generator.normal(0.2, 1.0, 100)
    exact = mannwhitneyu(first, second, method="exact").pvalue
    assert rank_sum(first, second) == pytest.approx(exact, abs=1e-3)
    assert rank_sum(first, second) != exact


def test_ranks_are_scipys():
    losses = np.random.default_rng(1).integers(0, 4, (6, 5, 7)).astype(float)
    np.testing.assert_array_equal(rank(losses), rankdata(losses, axis=-1))


def test_equal_searchers_have_p_one():
    np.testing.assert_array_equal(wilcoxon_holm(np.ones((6, 2))), np.ones((2, 2)))


def _p_values(searchers, differing):
    p_values = np.ones((searchers, searchers))
    for i, j in differing:
        p_values[i, j] = p_values[j, i] = 0.01
    return p_values


def test_cliques_are_longest_stretches_of_the_order_of_ranks():
    # Order by rank: 2, 0, 3, 1. Only 2 and 1, 2 and 3 differ: {2, 0} and {0, 3, 1}.
    assert cliques([2.0, 4.0, 1.0, 3.0], _p_values(4, [(2, 1), (2, 3)])) == [[2, 0], [0, 3, 1]]


def test_no_bar_covers_a_pair_that_differs():
    # 0 and 2 cannot be told apart, but 1 between them differs from both: no bar.
    assert cliques([1.0, 2.0, 3.0], _p_values(3, [(0, 1), (1, 2)])) == []


def test_one_bar_over_all_if_nothing_differs():
    assert cliques([3.0, 1.0, 2.0], np.ones((3, 3))) == [[1, 2, 0]]
