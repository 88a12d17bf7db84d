"""Coefficients against the order conditions: one for each rooted tree."""

from __future__ import annotations

import math

import numpy as np
import pytest

from metabench.errors import ArgumentError
from metabench.layers.ode.tableau import EULER, ButcherTableau, all_tableaus

ADAPTIVE = [tableau for tableau in all_tableaus if tableau.error]
Tree = tuple["Tree", ...]  # a rooted tree is the sorted tuple of its root's subtrees


def _order(tree: Tree) -> int:
    return 1 + sum(_order(branch) for branch in tree)


def _density(tree: Tree) -> int:
    return _order(tree) * math.prod(_density(branch) for branch in tree)


def _trees(order: int) -> set[Tree]:
    """All rooted trees with ``order`` vertices, by hanging a leaf on each vertex of the smaller ones."""
    if order == 1:
        return {()}

    def grow(tree: Tree) -> set[Tree]:
        grown = {tuple(sorted((*tree, ())))}
        for i, branch in enumerate(tree):
            grown |= {tuple(sorted((*tree[:i], new, *tree[i + 1 :]))) for new in grow(branch)}
        return grown

    return set().union(*(grow(tree) for tree in _trees(order - 1)))


def _dense(tableau: ButcherTableau) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    stages = len(tableau.b)
    a = np.zeros((stages, stages))
    for i, row in enumerate(tableau.a):
        a[i + 1, : i + 1] = row
    return a, np.array(tableau.b), np.array([0.0, *tableau.c])


def _stage_weights(a: np.ndarray, tree: Tree) -> np.ndarray:
    """The vector of elementary weights: the product over the subtrees of a times theirs."""
    weights = np.ones(len(a))
    for branch in tree:
        weights = weights * (a @ _stage_weights(a, branch))
    return weights


def _satisfies(a: np.ndarray, b: np.ndarray, order: int, theta: float = 1.0) -> bool:
    return all(
        abs(b @ _stage_weights(a, tree) - theta**order / _density(tree)) < 1e-13 * max(1.0, np.abs(b).sum())
        for tree in _trees(order)
    )


def test_rooted_trees_are_counted_right() -> None:
    # Hairer, Norsett and Wanner (1993), table 2.2.
    assert [len(_trees(order)) for order in range(1, 7)] == [1, 1, 2, 4, 9, 20]


@pytest.mark.parametrize("tableau", all_tableaus, ids=lambda tableau: tableau.name)
def test_order_conditions_hold_to_the_order_and_not_beyond(tableau: ButcherTableau) -> None:
    a, b, c = _dense(tableau)
    np.testing.assert_allclose(a.sum(1), c, atol=1e-14)
    for order in range(1, tableau.order + 1):
        assert _satisfies(a, b, order), order
        assert b @ c ** (order - 1) == pytest.approx(1 / order, abs=1e-14)
    assert not _satisfies(a, b, tableau.order + 1)


@pytest.mark.parametrize("tableau", ADAPTIVE, ids=lambda tableau: tableau.name)
def test_embedded_method_is_one_order_lower(tableau: ButcherTableau) -> None:
    a, b, _ = _dense(tableau)
    embedded = b - np.array(tableau.error)
    assert all(_satisfies(a, embedded, order) for order in range(1, tableau.order))
    assert not _satisfies(a, embedded, tableau.order)
    assert tableau.error[-1] != 0.0  # so that a non-finite slope at the new state always shows in the estimate
    assert tableau.first_same_as_last


@pytest.mark.parametrize("tableau", ADAPTIVE, ids=lambda tableau: tableau.name)
def test_dense_output_order(tableau: ButcherTableau) -> None:
    a, b, _ = _dense(tableau)
    first, last = np.eye(len(b))[0], np.eye(len(b))[-1]
    d = np.array(tableau.dense or [0.0] * len(b))
    order = min(tableau.order, 4)
    for theta in (0.2, 0.5, 0.77, 1.0):
        hermite = theta * b + theta * (theta - 1) * ((1 - 2 * theta) * b + (theta - 1) * first + theta * last)
        weights = hermite + theta**2 * (1 - theta) ** 2 * d
        assert all(_satisfies(a, weights, p, theta) for p in range(1, order + 1))


def test_malformed_tableaus_are_refused() -> None:
    with pytest.raises(ArgumentError, match="rows of length"):
        ButcherTableau("x", 1, a=((1.0, 2.0),), b=(0.0, 1.0), c=(1.0,))
    with pytest.raises(ArgumentError, match="error and dense-output"):
        ButcherTableau("x", 1, a=(), b=(1.0,), c=(), error=(1.0, 2.0))
    with pytest.raises(ArgumentError, match="FSAL"):
        ButcherTableau("x", 1, a=(), b=(1.0,), c=(), error=(1.0,))
    assert not EULER.first_same_as_last
