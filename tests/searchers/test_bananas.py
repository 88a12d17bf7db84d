"""The predictor against its formulas, and what the search does with it."""

import numpy as np
import pytest

from metabench.searchers.bananas import _PENALTIES, Bananas, fit_ensemble, ridge_penalty
from metabench.searchers.encoding import PathEncoding
from metabench.searchers.loop import run_loop
from metabench.searchers.objective import Objective
from metabench.testing.toy_benchmark import make_toy_benchmark


def test_encoding_marks_places_blocks_and_pairs():
    space = make_toy_benchmark().space_definition
    encode = PathEncoding(space)
    vector = encode([space.code("b,d")])[0]
    assert encode.size == len(vector) == 2 * 5 + 5 + 25 + 1
    # b is digit 2 and d digit 4: stage 1, stage 2, both among all, the pair, the constant
    assert np.flatnonzero(vector).tolist() == [2, 5 + 4, 10 + 2, 10 + 4, 15 + 2 * 5 + 4, 40]
    assert np.flatnonzero(encode([space.code("skip,c")])[0]).tolist() == [3, 10 + 3, 40]
    assert len(np.unique(encode(space.canonical_codes.tolist()), axis=0)) == 21


def test_penalty_minimises_generalised_cross_validation():
    generator = np.random.default_rng(0)
    x = generator.normal(size=(30, 8))
    y = x @ generator.normal(size=8) + generator.normal(size=30)
    scores = []
    for penalty in _PENALTIES:  # straight from the definition: n |y - Hy|^2 / trace(I - H)^2
        hat = x @ np.linalg.solve(x.T @ x + penalty * np.eye(8), x.T)
        scores.append(30 * np.sum((y - hat @ y) ** 2) / np.trace(np.eye(30) - hat) ** 2)
    assert ridge_penalty(x, y) == _PENALTIES[int(np.argmin(scores))]
    assert 0 < int(np.argmin(scores)) < len(_PENALTIES) - 1


def test_members_are_ridge_regressions_on_bootstrap_samples():
    from sklearn.linear_model import Ridge

    generator = np.random.default_rng(1)
    x = np.hstack([generator.normal(size=(25, 5)), np.ones((25, 1))])
    y = 3.0 + x[:, :5] @ generator.normal(size=5) + 0.1 * generator.normal(size=25)
    weights = fit_ensemble(x, y, 4, np.random.default_rng(2))
    counts = np.random.default_rng(2).multinomial(25, np.full(25, 1 / 25), size=4)
    penalty = ridge_penalty(x, y - y.mean())
    for member, count in enumerate(counts):
        peer = Ridge(alpha=penalty, fit_intercept=False).fit(x, y - y.mean(), sample_weight=count)
        np.testing.assert_allclose(x @ weights[:, member], peer.predict(x) + y.mean(), rtol=1e-6)


def test_first_ten_are_random_then_neighbours_of_the_best(benchmark_table):
    space = benchmark_table.space_definition
    searcher = Bananas(space, epochs=(1, 4), seeds=(0,), seed=0, trials=21, batch=4, parents=1)
    trials = run_loop(searcher, Objective(benchmark_table), 21)
    codes = [trial["code"] for trial in trials]
    assert len(set(codes)) == len(codes) == 21
    best = max(trials[:4], key=lambda trial: trial["val_score"])["code"]
    untried = set(space.neighbours(best).tolist()) - set(codes[:4])
    assert set(codes[4:8]) <= untried


@pytest.mark.parametrize("seed", range(3))
def test_finds_the_best_of_an_additive_space_sooner_than_chance(seed):
    """Scores are sums of block effects, which the predictor can learn; 21 architectures, 4 random, then picks."""
    objective = Objective(make_toy_benchmark(seed=11))
    searcher = Bananas(objective.space, epochs=(9,), seeds=(0,), seed=seed, trials=12, batch=4)
    assert run_loop(searcher, objective, 12)[-1]["val_regret"] < 0.02
