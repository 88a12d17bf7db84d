"""Bayes-optimal values by brute force: expectimax over (task, state) beliefs, for the twins' dynamics."""

from collections.abc import Callable, Hashable
from functools import cache

Step = Callable[[Hashable, Hashable, int], tuple[Hashable, Hashable, float]]


def bayes_value(starts: dict[Hashable, Hashable], step: Step, actions: int, horizon: int, episodes: int = 1) -> float:
    """The best expected return of a trial, the task uniform over ``starts`` (task -> first state).

    Args:
        starts: the first state of each task.
        step: (task, state, action) -> (state, observation, reward), without chance.
        actions: number of actions.
        horizon: steps of an episode.
        episodes: episodes of a trial.
    """

    @cache
    def value(belief: frozenset, left: int) -> float:
        if left == 0:
            return 0.0
        if left % horizon == 0:
            belief = frozenset((task, starts[task]) for task, _ in belief)
        best = float("-inf")
        for action in range(actions):
            groups: dict[tuple, list] = {}
            total = 0.0
            for task, state in belief:
                after, seen, reward = step(task, state, action)
                groups.setdefault((seen, reward), []).append((task, after))
                total += reward / len(belief)
            for group in groups.values():
                total += len(group) / len(belief) * value(frozenset(group), left - 1)
            best = max(best, total)
        return best

    return value(frozenset(starts.items()), horizon * episodes)
