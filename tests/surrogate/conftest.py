"""Two small spaces of made-up blocks, every architecture of them."""

from itertools import product

import numpy as np
import pytest

from metabench.testing.synthetic import SyntheticTable, synthetic_table

BLOCKS = ("skip", "mlp.residual", "mlp.tied", "mlp.deq", "gated.residual", "gated.deq", "qp.box", "qp.simplex")
EPOCHS = (1, 4, 16)


def all_digits(blocks: int, stages: int) -> np.ndarray:
    """Every architecture with its skips last."""
    rows = [row for row in product(range(blocks), repeat=stages) if sorted(row, key=lambda d: d == 0) == list(row)]
    return np.array(rows)


@pytest.fixture(scope="session")
def additive_table() -> SyntheticTable:
    """400 architectures, additive effects of 0.05 a stage, noise of 0.01."""
    digits = all_digits(len(BLOCKS), 3)
    return synthetic_table(digits, BLOCKS, EPOCHS, noise_sd=0.01)


@pytest.fixture(scope="session")
def noisy_table() -> SyntheticTable:
    """The same with interactions, and noise as large as half of a stage's effects, four replicates."""
    digits = all_digits(len(BLOCKS), 3)
    return synthetic_table(digits, BLOCKS, EPOCHS, seeds=4, interaction_sd=0.01, noise_sd=0.025, seed=1)
