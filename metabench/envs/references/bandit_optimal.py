"""The Bayes-optimal value and policy of a small Bernoulli bandit, exactly."""

from __future__ import annotations

from functools import cache

from metabench.errors import ArgumentError

__all__ = ["MOST_PULLS", "optimal_value"]

MOST_PULLS = 16
"""The number of count states grows like that of bipartite partitions: 8 thousand at 10 pulls, 600 thousand at 16."""

Arm = tuple[int, int]


def optimal_value(pulls: int, arms: int) -> float:
    """Expected return of the best policy under independent uniform priors.

    The state is the multiset of the arms' (successes, failures): arms are exchangeable, so their order is forgotten,
    and the pulls left follow from the counts.

    Raises:
        ArgumentError: for more than 16 pulls.
    """
    if not 1 <= pulls <= MOST_PULLS or arms < 1:
        raise ArgumentError(f"pulls={pulls}, arms={arms}: expected 1 to {MOST_PULLS} pulls and an arm.")

    @cache
    def value(state: tuple[Arm, ...]) -> float:
        if sum(s + f for s, f in state) == pulls:
            return 0.0
        best = 0.0
        for i, (s, f) in enumerate(state):
            if i and state[i - 1] == (s, f):
                continue
            rest = state[:i] + state[i + 1 :]
            chance = (s + 1) / (s + f + 2)
            won = 1.0 + value(tuple(sorted((*rest, (s + 1, f)))))
            lost = value(tuple(sorted((*rest, (s, f + 1)))))
            best = max(best, chance * won + (1.0 - chance) * lost)
        return best

    return value(((0, 0),) * arms)
