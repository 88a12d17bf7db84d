"""Everything that decides what a meta-training learns, and the recipes of the shipped optimizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from metabench.errors import ArgumentError, UnknownNameError
from metabench.learned.meta_training.backpropagation import TruncatedBackpropagation
from metabench.learned.meta_training.estimators import Estimator
from metabench.learned.meta_training.noise_reuse import NoiseReuseES
from metabench.learned.meta_training.pes import PersistentES
from metabench.learned.meta_training.truncated_es import TruncatedES
from metabench.learned.optimizers import LSTMRule, MLPRule, UpdateRule
from metabench.problems import Problem, Quadratic, training_problems
from metabench.registry import did_you_mean

__all__ = ["ESTIMATORS", "RECIPES", "Recipe", "find_recipe"]

ESTIMATORS: dict[str, Callable[[], Estimator]] = {
    "pes": PersistentES,
    "noise-reuse": NoiseReuseES,
    "truncated-es": TruncatedES,
    "backpropagation": TruncatedBackpropagation,
}


@dataclass(frozen=True)
class Recipe:
    """A meta-training.

    Attributes:
        name: of the optimizer that comes of it.
        rule: what is trained.
        estimator: of the meta-gradient.
        problems: inner problems; each life of a group draws one.
        groups: batches of inner runs, each on a problem of its own; they may run in different processes.
        units: independent units (antithetic pairs, or runs) in a group.
        truncation: inner steps between two meta-steps.
        horizons: least and most inner steps of a life, drawn log-uniformly.
        iterations: meta-steps.
        rate: learning rate of Adam on the weights, falling to zero as a half cosine.
        clip: largest norm of the meta-gradient.
        ceiling: largest inner loss that counts, as a multiple of the first.
        logarithm: whether the logarithm of that multiple is what counts, so that all problems weigh alike, however far
            their losses fall.
        seed: decides the first weights, the problems and the noise.
    """

    name: str
    rule: UpdateRule
    estimator: Estimator
    problems: tuple[Problem, ...]
    groups: int = 4
    units: int = 8
    truncation: int = 10
    horizons: tuple[int, int] = (50, 700)
    iterations: int = 4000
    rate: float = 3e-3
    clip: float = 1.0
    ceiling: float = 2.0
    logarithm: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for field in ("groups", "units", "truncation", "iterations"):
            if getattr(self, field) < 1:
                raise ArgumentError(f"{field}={getattr(self, field)}: expected at least 1.")
        if not 1 <= self.horizons[0] <= self.horizons[1]:
            raise ArgumentError(f"horizons={self.horizons}: expected a least and a most number of steps.")
        if not (self.rate > 0 and self.clip > 0 and self.ceiling > 1):
            raise ArgumentError(
                f"rate={self.rate}, clip={self.clip}, ceiling={self.ceiling}: expected positive numbers, ceiling > 1."
            )
        if not self.problems or any(problem.held_out for problem in self.problems):
            raise ArgumentError("problems: expected at least one, and none that is held out.")

    def settings(self) -> dict[str, Any]:
        """All of it as JSON can hold it."""
        plain = {key: value for key, value in vars(self).items() if key not in ("rule", "estimator", "problems")}
        return plain | {
            "horizons": list(self.horizons),
            "rule": {"kind": self.rule.kind, "version": self.rule.version, **asdict(self.rule)},  # pyright: ignore[reportArgumentType]
            "estimator": {"name": type(self.estimator).__name__, **asdict(self.estimator)},  # pyright: ignore[reportArgumentType]
            "problems": [problem.name for problem in self.problems],
        }


RECIPES: dict[str, Callable[[], Recipe]] = {
    "mlp-v1": lambda: Recipe(
        "mlp-v1",
        MLPRule(hidden=4, layers=2, step_scale=0.05, exponent_scale=1.0, start="adam"),
        NoiseReuseES(sigma=0.03),
        # The loss of a quadratic falls without end, and its logarithm would outweigh all networks together.
        tuple(problem for problem in training_problems() if not isinstance(problem, Quadratic)),
        horizons=(300, 700),
        iterations=1500,
        rate=3e-3,
        logarithm=True,
    ),
    "lstm-v1": lambda: Recipe(
        "lstm-v1",
        LSTMRule(hidden=20),
        TruncatedBackpropagation(),
        training_problems(),
        groups=2,
        units=2,
        truncation=20,
        horizons=(100, 100),
        rate=1e-3,
        iterations=1500,
    ),
    "lstm-quadratic": lambda: Recipe(
        "lstm-quadratic",
        LSTMRule(hidden=20),
        TruncatedBackpropagation(),
        (Quadratic(10),),
        groups=1,
        units=32,
        truncation=20,
        horizons=(100, 100),
        rate=1e-3,
        iterations=1500,
    ),
}
"""Name -> recipe; ``lstm-quadratic`` is the first experiment of Andrychowicz et al. (2016)."""


def find_recipe(name: str) -> Recipe:
    """The recipe of a name.

    Raises:
        UnknownNameError: with the nearest name.
    """
    if name not in RECIPES:
        raise UnknownNameError(f"unknown recipe {name!r}.{did_you_mean(name, RECIPES)} Known: {', '.join(RECIPES)}.")
    return RECIPES[name]()
