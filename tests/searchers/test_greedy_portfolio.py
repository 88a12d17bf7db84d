"""The portfolio, by hand, and that the task searched is left out."""

import numpy as np
import pytest

from metabench.errors import ArgumentError
from metabench.searchers.greedy_portfolio import GreedyPortfolio, greedy_order, normalised_regret
from metabench.searchers.loop import run_loop
from metabench.searchers.objective import Objective
from metabench.testing.toy_benchmark import make_toy_benchmark


def test_normalised_regret_by_hand():
    found = normalised_regret(np.array([[0.5, 0.9, 0.7, np.nan], [0.2, 0.2, 0.2, 0.2]]))
    np.testing.assert_allclose(found, [[1.0, 0.0, 0.5, 1.0], [0, 0, 0, 0]], atol=1e-12)


def test_greedy_order_by_hand():
    regret = np.array(
        [
            [0.0, 1.0, 0.4, 0.6, 0.9],
            [1.0, 0.0, 0.4, 0.5, 0.9],
            [1.0, 0.9, 0.4, 0.0, 1.0],
        ]
    )
    # sums 2.0, 1.9, 1.2, 1.1, 2.8: column 3 first. Then min with (.6, .5, 0): .5, .6, .8, -, 1.1: column 0; then
    # (0, .5, 0): column 1 gives 0. Nothing can be better, so the next portfolio: column 2, then 4, which does not help
    # (.4, .4, .4), is taken when that portfolio is full as well.
    assert greedy_order(regret, 5) == [3, 0, 1, 2, 4]
    assert greedy_order(regret, 2) == [3, 0]
    assert greedy_order(regret, 99) == [3, 0, 1, 2, 4]


def test_each_step_is_the_argmin_of_the_formula():
    regret = np.random.default_rng(0).uniform(size=(6, 40))
    order = greedy_order(regret, 6)
    for step, column in enumerate(order):
        portfolio = order[:step]
        sums = [
            sum(min([regret[d, p] for p in portfolio] + [regret[d, c]]) for d in range(6))
            if c not in portfolio
            else 9e9
            for c in range(40)
        ]
        assert sums[column] == pytest.approx(min(sums))


def test_search_begins_with_the_portfolio_and_goes_on_by_local_search():
    objective = Objective(make_toy_benchmark())
    n = len(objective.space.canonical_codes)
    others = {"x": np.linspace(0, 1, n), "y": np.linspace(1, 0, n)}
    searcher = GreedyPortfolio(objective.space, epochs=(9,), seeds=(0,), seed=0, trials=21, others=others, size=4)
    trials = run_loop(searcher, objective, 21)
    codes = objective.space.canonical_codes
    # regrets are 1 - i / 20 and i / 20: all sums are 1, so the first column; then the last one makes it perfect
    assert [trial["code"] for trial in trials[:4]] == [codes[0], codes[-1], codes[1], codes[-2]]
    best = max(trials[:4], key=lambda trial: trial["val_score"])["code"]
    assert trials[4]["code"] in objective.space.neighbours(best)
    assert len({trial["code"] for trial in trials}) == 21


def test_without_other_tasks_it_says_so():
    objective = Objective(make_toy_benchmark())
    with pytest.raises(ArgumentError, match="learns from other tasks"):
        GreedyPortfolio(objective.space, epochs=(9,), seeds=(0,), seed=0, trials=5, others={})
