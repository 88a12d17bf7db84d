"""Times of units of changing load and of two trainers, against the ones they were made from."""

from itertools import product

import numpy as np

from metabench.spaces.architecture import Architecture
from metabench.tables.seconds import even_out

COST = {"a": 1.0, "b": 2.0, "c": 5.0}
OLD = {"a": 2.0, "b": 2.5, "c": 20.0}  # an older trainer, and not by one factor
BASE, EPOCHS = 0.5, np.array([0.25, 0.5, 1.0])
ARCHITECTURES = [Architecture(blocks) for blocks in product("abc", repeat=3)]


def times(cost: dict[str, float]) -> np.ndarray:
    whole = np.array([BASE + sum(cost[b] for b in a.blocks) for a in ARCHITECTURES])
    return np.repeat(whole[:, None, None] * EPOCHS, 2, axis=1)


def setting() -> tuple[np.ndarray, np.ndarray]:
    """Units of three architectures, both seeds, and the load of each unit."""
    units = np.repeat(np.arange(27) // 3, 2).reshape(27, 2)
    return units, np.random.default_rng(0).uniform(0.7, 1.6, 9)


def test_load_is_taken_out() -> None:
    units, load = setting()
    found = even_out(times(COST) * load[units][..., None], ARCHITECTURES, units, np.zeros((27, 2), bool))
    ratio = found.seconds / times(COST)
    np.testing.assert_allclose(ratio, np.median(load), rtol=0.02)
    assert (found.measured, found.estimated) == (54, 0)
    assert found.error < 0.03
    np.testing.assert_allclose(found.factors, (load.min() / np.median(load), load.max() / np.median(load)), rtol=0.03)


def test_another_trainers_rows_get_the_time_of_their_blocks() -> None:
    units, load = setting()
    trusted = units < 6
    mixed = np.where(trusted[..., None], times(COST), times(OLD)) * load[units][..., None]
    found = even_out(mixed, ARCHITECTURES, units, trusted)
    ratio = found.seconds / times(COST)
    np.testing.assert_allclose(ratio, np.median(load[:6]), rtol=0.03)
    assert (found.measured, found.estimated) == (36, 18)


def test_missing_rows_and_epochs_stay_missing() -> None:
    units, _ = setting()
    seconds = times(COST)
    seconds[0, 1], units[0, 1] = np.nan, -1
    seconds[..., 2] = np.nan
    found = even_out(seconds, ARCHITECTURES, units, np.ones((27, 2), bool))
    assert np.isnan(found.seconds[0, 1]).all()
    assert np.isnan(found.seconds[..., 2]).all()
    assert found.measured == 53
    nothing = even_out(np.full((27, 2, 3), np.nan), ARCHITECTURES, np.full((27, 2), -1), np.zeros((27, 2), bool))
    assert nothing.measured == 0
