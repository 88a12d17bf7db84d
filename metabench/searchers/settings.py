"""How a search is run and what it is charged: the part of a plan that all its searchers share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from metabench.errors import ArgumentError
from metabench.registry import did_you_mean
from metabench.tables.result import Result, Status

if TYPE_CHECKING:
    from metabench.searchers.objective import Objective

__all__ = ["CLOCKS", "PROMOTIONS", "REPLICATES", "Charge", "Settings", "charge_by"]

CLOCKS = ("seconds", "flops", "epochs")
PROMOTIONS = ("continue", "restart")
REPLICATES = ("random", "fixed")

_BACKWARD_AND_FORWARD = 3  # a backward pass costs about two forward passes
_NOMINAL_FLOPS_PER_SECOND = 1e9

Charge = Callable[[Result, Result | None], float]


@dataclass(frozen=True)
class Settings:
    """What a simulated search assumes; see ``README.md`` beside this file.

    Attributes:
        sim_workers: trainings that run at the same time on the simulated clock.
        clock: what moves it: ``"seconds"`` as recorded, or ``"flops"`` or ``"epochs"``, which are counted.
        promotions: a training asked for again at a higher epoch goes on from its checkpoint (``"continue"``) or starts
            again (``"restart"``).
        replicates: ``"random"`` lets searchers draw a replicate for each architecture, ``"fixed"`` gives run k the
            replicate k modulo their number.

    Raises:
        ArgumentError: for a value that is none of these.
    """

    sim_workers: int = 1
    clock: str = "seconds"
    promotions: str = "continue"
    replicates: str = "random"

    def __post_init__(self) -> None:
        number = self.sim_workers
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ArgumentError(f"sim_workers is {number!r}; expected a whole number of at least 1.")
        for name, known in (("clock", CLOCKS), ("promotions", PROMOTIONS), ("replicates", REPLICATES)):
            value = getattr(self, name)
            if value not in known:
                meant = did_you_mean(str(value), known)
                raise ArgumentError(f"unknown {name} {value!r}.{meant} Known: {', '.join(known)}.")

    def replicates_of(self, seeds: Sequence[int], run: int) -> tuple[int, ...]:
        """The replicates that run number ``run`` may ask for."""
        return tuple(seeds) if self.replicates == "random" else (seeds[run % len(seeds)],)


def charge_by(clock: str, objective: Objective) -> Charge:
    """The function that says what a training costs on a clock.

    It takes the training's result and that of the checkpoint it went on from (or None), and gives seconds, at least
    0. A result that is missing from the table costs nothing, since nothing was trained.

    Raises:
        ArgumentError: if the clock needs the size of the training set and the benchmark has no task.
    """
    if clock == "seconds":
        return _recorded_seconds
    if clock == "epochs":
        return lambda result, checkpoint: float(_epochs(result, checkpoint))
    task = objective.benchmark.task
    if task is None:
        raise ArgumentError(f"clock 'flops' needs a benchmark with a task, which {objective.benchmark.id} has not.")
    seconds_per_flop = _BACKWARD_AND_FORWARD * task.splits["train"] / _NOMINAL_FLOPS_PER_SECOND

    def nominal_seconds(result: Result, checkpoint: Result | None) -> float:
        epochs = _epochs(result, checkpoint)
        return epochs * result.flops * seconds_per_flop if epochs else 0.0

    return nominal_seconds


def _recorded_seconds(result: Result, checkpoint: Result | None) -> float:
    seconds = result.train_seconds if checkpoint is None else result.train_seconds - checkpoint.train_seconds
    return seconds if seconds > 0 else 0.0  # also when it is NaN


def _epochs(result: Result, checkpoint: Result | None) -> int:
    if result.status is Status.MISSING:
        return 0
    return result.epoch - (0 if checkpoint is None else checkpoint.epoch)
