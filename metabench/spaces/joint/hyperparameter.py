"""One hyperparameter of a joint space: its levels, and when it is active."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

if TYPE_CHECKING:
    from ConfigSpace.hyperparameters import Hyperparameter as ConfigSpaceHyperparameter

__all__ = ["Hyperparameter", "Kind", "real_levels"]

Kind = Literal["real", "integer", "choice"]
_DIGITS = 4  # significant, of a level: finer than any grid here


def real_levels(lower: float, upper: float, count: int, *, log: bool) -> tuple[float, ...]:
    """``count`` numbers from ``lower`` to ``upper``, evenly spaced (on a log scale), rounded to four digits."""
    between = np.geomspace(lower, upper, count) if log else np.linspace(lower, upper, count)
    rounded = [float(f"{value:.{_DIGITS}g}") for value in between[1:-1]]
    return (lower, *rounded, upper)


@dataclass(frozen=True)
class Hyperparameter:
    """A hyperparameter with finitely many levels.

    Numbers are searched on their whole range; a configuration's number is taken to the nearest level.

    Attributes:
        name: in configurations.
        kind: ``"real"``, ``"integer"`` or ``"choice"``.
        levels: the values, ascending if numbers.
        default: one of them; what a hyperparameter takes when it becomes active.
        log: whether a number is drawn and compared by its logarithm.
        blocks: active if one of these stands at a stage.
        given: active if one of these hyperparameters has one of these values. Without ``blocks`` and ``given`` it
            always is.
    """

    name: str
    kind: Kind
    levels: tuple[Any, ...]
    default: Any
    log: bool = False
    blocks: tuple[str, ...] = ()
    given: dict[str, tuple[str, ...]] = field(default_factory=dict)

    @property
    def conditional(self) -> bool:
        """Whether it may be inactive."""
        return bool(self.blocks or self.given)

    @cached_property
    def positions(self) -> np.ndarray:
        """Where the levels lie between the least (0) and the greatest (1), ``(levels,)``; choices by their number."""
        if self.kind == "choice":
            return np.arange(len(self.levels), dtype=np.float64)
        numbers = np.array(self.levels, dtype=np.float64)
        scaled = np.log(numbers) if self.log else numbers
        return (scaled - scaled[0]) / (scaled[-1] - scaled[0])

    def level_at(self, position: np.ndarray) -> np.ndarray:
        """The places of the levels nearest to ``position`` in [0, 1]; choices have equal shares of it."""
        if self.kind == "choice":
            return np.minimum((position * len(self.levels)).astype(np.int64), len(self.levels) - 1)
        between = (self.positions[1:] + self.positions[:-1]) / 2
        return np.searchsorted(between, position)

    def place(self, value: Any) -> int | None:
        """The place of the level that is ``value``, or nearest to a number within the range; None if it is neither."""
        if self.kind == "choice":
            return self.levels.index(str(value)) if str(value) in self.levels else None
        try:
            number = float(value)
        except (TypeError, ValueError):
            return None
        slack = 1e-9 * abs(self.levels[-1])  # a sampler's own rounding
        if not self.levels[0] - slack <= number <= self.levels[-1] + slack:
            return None
        if self.kind == "integer" and number != round(number):
            return None
        number = min(max(number, self.levels[0]), self.levels[-1])
        scaled, low, high = (math.log(x) if self.log else x for x in (number, self.levels[0], self.levels[-1]))
        return int(self.level_at(np.array((scaled - low) / (high - low))))

    def as_configspace(self) -> ConfigSpaceHyperparameter:
        """The same for a ConfigSpace, numbers on their whole range."""
        import ConfigSpace as cs

        if self.kind == "choice":
            return cs.CategoricalHyperparameter(self.name, list(self.levels), default_value=self.default)
        ends: Any = self.levels[0], self.levels[-1]
        maker = cs.UniformIntegerHyperparameter if self.kind == "integer" else cs.UniformFloatHyperparameter
        return maker(self.name, *ends, log=self.log, default_value=self.default)

    def describe(self) -> str:
        """What values there are, in words."""
        if self.kind == "choice":
            return f"one of {', '.join(self.levels)}"
        return (
            f"{'a whole number' if self.kind == 'integer' else 'a number'} from {self.levels[0]} to {self.levels[-1]}"
        )
