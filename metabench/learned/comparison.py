"""Wins of a learned optimizer over hand-made ones at their best rates: pure functions on measured curves."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from metabench.errors import ArgumentError

__all__ = ["Comparison", "best_setting", "compare", "wilson_interval"]

_Z = 1.959963984540054  # 97.5 % point of the standard normal


@dataclass(frozen=True)
class Comparison:
    """A learned optimizer against one hand-made optimizer after so many steps.

    Attributes:
        rival: the hand-made optimizer.
        metric: ``train_loss`` or ``val_score``.
        step: inner steps.
        wins: problems on which the learned one's mean over seeds is better.
        problems: how many there are; a tie counts as half a win.
        interval: 95 % interval of the fraction of wins (Wilson 1927), problems taken as independent.
        difference: mean over problems of ln(loss / rival's loss), or of the score minus the rival's.
        half_width: of its 95 % interval.
    """

    rival: str
    metric: str
    step: int
    wins: float
    problems: int
    interval: tuple[float, float]
    difference: float
    half_width: float


def wilson_interval(wins: float, trials: int) -> tuple[float, float]:
    """95 % interval of a fraction."""
    if trials < 1 or not 0 <= wins <= trials:
        raise ArgumentError(f"wins={wins}, trials={trials}: expected 0 <= wins <= trials, and a trial.")
    share, square = wins / trials, _Z**2
    centre = (share + square / (2 * trials)) / (1 + square / trials)
    half = _Z * math.sqrt(share * (1 - share) / trials + square / (4 * trials**2)) / (1 + square / trials)
    return max(0.0, centre - half), min(1.0, centre + half)


def best_setting(values: np.ndarray, metric: str) -> np.ndarray:
    """The best mean over seeds at each step.

    Args:
        values: ``(settings, seeds, steps)``; what is not finite is as bad as can be.
        metric: ``train_loss`` (less is better) or ``val_score``.

    Returns:
        ``(steps,)``: the setting is chosen anew for every step, and on the very seeds that are reported: this favours
        the optimizer whose settings they are.
    """
    worst = np.inf if metric == "train_loss" else -np.inf
    means = np.where(np.isfinite(values), values, worst).mean(1)
    return means.min(0) if metric == "train_loss" else means.max(0)


def compare(
    learned: np.ndarray, rival: np.ndarray, *, name: str, metric: str, steps: Sequence[int]
) -> tuple[Comparison, ...]:
    """Compares means over seeds, problem by problem.

    Args:
        learned: ``(problems, steps)``.
        rival: ``(problems, steps)``, at the best setting of each.
        name: of the rival.
        metric: ``train_loss`` or ``val_score``.
        steps: what the columns are.
    """
    found = []
    for column, step in enumerate(steps):
        mine, theirs = learned[:, column], rival[:, column]
        sign = -1.0 if metric == "train_loss" else 1.0
        wins = float((sign * mine > sign * theirs).sum() + 0.5 * (mine == theirs).sum())
        with np.errstate(divide="ignore", invalid="ignore"):
            gaps = np.log(mine / theirs) if metric == "train_loss" else mine - theirs
        spread = float(gaps.std(ddof=1)) if len(gaps) > 1 else math.nan
        found.append(
            Comparison(
                name,
                metric,
                step,
                wins,
                len(mine),
                wilson_interval(wins, len(mine)),
                float(gaps.mean()),
                _Z * spread / math.sqrt(len(gaps)),
            )
        )
    return tuple(found)
