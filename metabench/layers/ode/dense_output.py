"""States between the steps of an adaptive solve."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from metabench.layers.ode.step import Step
from metabench.layers.ode.tableau import ButcherTableau

__all__ = ["DenseOutput", "interpolate"]


def interpolate(tableau: ButcherTableau, z: Tensor, step: Step, theta: Tensor) -> Tensor:
    """The state a fraction ``theta`` of the way through a step, ``(..., dim)``.

    Args:
        tableau: an FSAL method.
        z: state before the step ``(..., dim)``.
        step: the step, with slopes multiplied by its size.
        theta: in [0, 1], ``(..., 1)``.

    Reference: Hairer, Norsett and Wanner (1993), Solving ODEs I, section II.6.
    """
    change, rest = step.z - z, 1 - theta
    value = z + theta * change
    value = value - theta * rest * ((1 - 2 * theta) * change - rest * step.slopes[0] + theta * step.slopes[-1])
    if any(tableau.dense):
        bump = torch.zeros_like(z)
        for weight, slope in zip(tableau.dense, step.slopes, strict=True):
            if weight:
                bump = bump.add(slope, alpha=weight)
        value = value + (theta * rest) ** 2 * bump
    return value


class DenseOutput:
    """Collects the states at the interior output times; samples pass each of them in different steps.

    Times are measured as the time left to the end, as in the solve.
    """

    def __init__(self, tableau: ButcherTableau, z: Tensor, times: Sequence[float]) -> None:
        self._tableau = tableau
        self._left = [abs(times[-1] - time) for time in times[1:-1]]
        self._values = [z] * len(self._left)
        self._reached = [torch.zeros_like(z[..., :1], dtype=torch.bool) for _ in self._left]

    def add(self, z: Tensor, step: Step, before: Tensor, after: Tensor, size: Tensor) -> None:
        """Enters a step from ``before`` to ``after`` time left, equal where a sample rejected it; all ``(..., 1)``."""
        if not self._left:
            return
        first, last = float(before.max()), float(after.min())
        for i, left in enumerate(self._left):
            if last <= left < first:
                passed = (after <= left) & (before > left)
                theta = torch.where(passed, (before - left) / size, 0.0)
                self._values[i] = torch.where(passed, interpolate(self._tableau, z, step, theta), self._values[i])
                self._reached[i] = self._reached[i] | passed

    def values(self, z: Tensor) -> list[Tensor]:
        """The states; ``z``, the last one, where a sample stopped before that time."""
        return [torch.where(reached, value, z) for reached, value in zip(self._reached, self._values, strict=True)]
