"""Noise that architectures have in common, where it was put in."""

from itertools import product

import numpy as np
import pytest

from metabench.analysis.shared_noise import shared_noise

DIGITS = np.array(list(product(range(6), repeat=3)))


def test_the_correlation_that_was_put_in() -> None:
    generator = np.random.default_rng(0)
    by_block, own = generator.normal(size=(3, 6, 40)), generator.normal(size=(len(DIGITS), 40))
    common = sum(by_block[stage][DIGITS[:, stage]] for stage in range(3))
    scores = generator.normal(size=(len(DIGITS), 1)) + 5 * generator.normal(size=(1, 40)) + common + own
    # The variance is 3 + 1 less what the shift takes: each block's mean over six, so 3 * 5/6 + 1 = 3.5 are left; of two
    # architectures 5/6 are common for a shared block, and -1/6 for one that differs.
    wanted = {str(k): (5 * k - (3 - k)) / 6 / 3.5 for k in range(3)}
    assert shared_noise(DIGITS, scores) == pytest.approx(wanted, abs=0.03)


def test_independent_noise_has_none_and_too_little_says_nothing() -> None:
    generator = np.random.default_rng(1)
    scores = generator.normal(size=(len(DIGITS), 5))
    assert max(map(abs, shared_noise(DIGITS, scores).values())) < 0.02
    assert shared_noise(DIGITS, scores[:, :1]) == {}
    assert shared_noise(DIGITS, np.ones((len(DIGITS), 3))) == {}
