"""The Bayes-optimal value of grid navigation: a bound, a plan that reaches it, and dynamic programming over beliefs."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np

from metabench.envs.grid_navigation import GridNavigation
from metabench.envs.references.shortest_paths import distances
from metabench.errors import ArgumentError

__all__ = ["bound_per_episode", "search_plan", "solve_beliefs"]

_STEP, _GOAL = -0.1, 1.0
_LARGEST = 22


def _gain(horizon: int, step: int) -> float:
    """The return of an episode whose ``step``-th step (from 1) ends on the goal for the first time."""
    return _STEP * (step - 1) + _GOAL * (horizon - step + 1)


def bound_per_episode(family: GridNavigation) -> tuple[float, float]:
    """What no policy exceeds in the first episode, and in any later one.

    A step tries at most one new cell and the first steps, as far as the nearest goal, try none; so at best the goals
    are tried one a step from there on. In any episode a goal is reached no sooner than its distance.
    """
    goals = family.goals["all"].tolist()
    steps = distances(family.layout)[0][goals].tolist()
    h = family.horizon
    tried = range(min(steps), min(min(steps) + len(goals), h + 1))
    first = sum(_gain(h, step) for step in tried) + (len(goals) - len(tried)) * h * _STEP
    later = sum(_gain(h, step) if step <= h else h * _STEP for step in steps)
    return first / len(goals), later / len(goals)


def search_plan(family: GridNavigation) -> list[list[int]]:
    """Actions ``[episode][step]`` to take until the goal is met, that reach :func:`bound_per_episode` in every episode.

    The first episode enters a new goal cell in every step from the nearest one on; the cells left over lie on one path
    that only moves away from the start, so that the second episode reaches each of them in its distance.

    Raises:
        ArgumentError: if there is no such plan for this size and horizon; see :func:`solve_beliefs`.
    """
    goals = frozenset(family.layout.cells[goal] for goal in family.goals["all"].tolist())
    tries = min(family.horizon - 1, len(goals))  # the first step has no goal to try
    for away in _monotone_paths(family.size):
        if len(away) <= family.horizon + 1 and len(goals - {*away}) <= tries:
            sweep = _sweep([(0, 0)], goals - {*away}, goals, tries)
            if sweep is not None:
                plans = [_actions(sweep, family.horizon), _actions(away, family.horizon)]
                return [plans[min(episode, 1)] for episode in range(family.episodes)]
    raise ArgumentError(f"size={family.size}, horizon={family.horizon}: no plan reaches the bound of both episodes.")


def _monotone_paths(size: int) -> Iterator[list[tuple[int, int]]]:
    """All paths from the start to the far corner that go up or right in every step."""

    def extend(path: list[tuple[int, int]]) -> Iterator[list[tuple[int, int]]]:
        x, y = path[-1]
        if (x, y) == (size - 1, size - 1):
            yield path
        for cell in ((x, y + 1), (x + 1, y)):
            if max(cell) < size:
                yield from extend([*path, cell])

    return extend([(0, 0)])


def _sweep(
    path: list[tuple[int, int]], must: frozenset[tuple[int, int]], goals: frozenset[tuple[int, int]], tries: int
) -> list[tuple[int, int]] | None:
    """Extends ``path`` by a step without a goal, then by ``tries`` new cells of ``goals``, with all of ``must``."""
    if len(must) > tries:
        return None
    if not tries:
        return path
    x, y = path[-1]
    for cell in ((x, y + 1), (x + 1, y), (x, y - 1), (x - 1, y)):
        found = None
        if len(path) == 1 and cell in ((0, 1), (1, 0)):
            found = _sweep([*path, cell], must, goals, tries)
        elif cell in goals:
            found = _sweep([*path, cell], must - {cell}, goals - {cell}, tries - 1)
        if found is not None:
            return found
    return None


def _actions(path: list[tuple[int, int]], horizon: int) -> list[int]:
    codes = {(0, 1): 1, (1, 0): 2, (0, -1): 3, (-1, 0): 4}
    moves = [codes[b[0] - a[0], b[1] - a[1]] for a, b in pairwise(path)]
    return (moves + [0] * horizon)[:horizon]


def solve_beliefs(family: GridNavigation) -> float:
    """The Bayes-optimal return of a trial, exactly, by dynamic programming over (cells tried, cell, step).

    Until the goal is met the belief is uniform over the goals not tried, so it is a subset; afterwards the rest of the
    trial is known. The 5 x 5 grid has 2^21 subsets: about 20 CPU-seconds and 0.6 GB.

    Raises:
        ArgumentError: if there are more than 22 goals.
    """
    goals = family.goals["all"].tolist()
    if len(goals) > _LARGEST:
        raise ArgumentError(f"{len(goals)} goals have too many subsets to go through; at most {_LARGEST} are handled.")
    following, h = family.layout.next_cells(), family.horizon
    reach = distances(family.layout)[0].numpy()
    again = [_gain(h, int(reach[goal])) if reach[goal] <= h else h * _STEP for goal in goals]
    bit = {goal: i for i, goal in enumerate(goals)}
    subsets = np.arange(2 ** len(goals), dtype=np.int64)
    left = len(goals) - np.bitwise_count(subsets).astype(np.float32)
    # value[cell][subset]: expected return to come, times the number of goals left; so nothing is divided.
    value = np.zeros((len(following), len(subsets)), dtype=np.float32)
    entered, missed = np.empty_like(value), _STEP * left
    for step in range(family.episodes * h, 0, -1):  # the step-th step of the trial, from 1
        episode, within = divmod(step - 1, h)
        if within == h - 1:  # whatever cell it ends in, the next episode begins at the start
            value[:] = value[0].copy()
        np.add(value, missed, out=entered)
        for goal, i in bit.items():
            # Subsets without the goal (second axis 0) and with it (1).
            halves = entered[goal].reshape(-1, 2, 2**i)
            count = left.reshape(-1, 2, 2**i)[:, 0]
            met = _GOAL * (h - within) + (family.episodes - 1 - episode) * again[i]
            halves[:, 0] = met + (count - 1) * _STEP + value[goal].reshape(-1, 2, 2**i)[:, 1]
        for cell, reached in enumerate(following):
            # Whoever is on a goal's cell has tried it, so half of the subsets never come up there.
            best = _tried(value[cell], bit.get(cell))
            first, *others = sorted({*reached})
            best[:] = _tried(entered[first], bit.get(cell))
            for other in others:
                np.maximum(best, _tried(entered[other], bit.get(cell)), out=best)
    return float(value[0, 0]) / len(goals)


def _tried(values: np.ndarray, bit: int | None) -> np.ndarray:
    """The view of an array over subsets on those that have ``bit``; all of it for None."""
    return values if bit is None else values.reshape(-1, 2, 2**bit)[:, 1]
