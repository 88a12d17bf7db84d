"""The kit for searchers."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from metabench.errors import ConformanceError, MetabenchError, SearcherError
from metabench.searchers.journal import Journaled, replay
from metabench.searchers.loop import run_loop
from metabench.searchers.objective import Objective
from metabench.searchers.searcher import Searcher, Trial
from metabench.searchers.settings import Settings
from metabench.tables.result import Result
from metabench.testing.toy_benchmark import make_toy_benchmark

__all__ = ["check_searcher"]

SearcherFactory = Callable[..., Searcher]
_MOST_ASKS = 20  # of a trial's budget, before a searcher counts as endless


def check_searcher(
    factory: SearcherFactory, trials: int = 12, *, exhaust: bool = True, seeded: bool = True, name: str | None = None
) -> None:
    """Checks that a searcher can take part in a search, on a made-up benchmark of 21 architectures.

    It asks only for architectures, epochs and replicates that there are, numbered from 0; it uses its budget up and a
    search with a larger budget than the space ends; equal seeds give equal searches, whatever the global random
    generators are doing, and different seeds different ones; it lives through diverged, missing and unconverged
    results, even if there are no others; through several workers, which finish in another order; through one epoch, one
    replicate and one trial; and its journal, replayed, leads to the same state.

    Args:
        factory: the class, or a function that takes the same arguments: ``factory(space, epochs=..., seeds=...,
            seed=..., trials=...)``.
        trials: budget of each of the two dozen small searches, in full trainings, up to 15.
        exhaust: whether to run a search past the size of the space.
        seeded: whether different seeds must give different searches.
        name: how messages call it; by default the factory's own name.

    Raises:
        ConformanceError: at the first property that fails.
    """
    kit = _Kit(factory, trials, name or getattr(factory, "__qualname__", repr(factory)))
    healthy = Objective(make_toy_benchmark())
    first = kit.search(healthy, "valid trials")
    kit.uses_budget(healthy, first)
    kit.is_reproducible(healthy, first, seeded)
    kit.resumes(healthy, 1)
    kit.resumes(healthy, 3)
    kit.survives_failures()
    kit.search(healthy, "several workers", workers=4)
    kit.search(healthy, "one trial", trials=1)
    kit.search(Objective(make_toy_benchmark(epochs=(4,))), "one epoch")
    kit.search(healthy, "one replicate", seeds=(1,))
    if exhaust:
        kit.search(healthy, "a budget larger than the space", trials=3 * len(healthy.space.canonical_codes))


class _Kit:
    def __init__(self, factory: SearcherFactory, trials: int, name: str) -> None:
        self.factory, self.trials, self.name = factory, trials, name

    def require(self, holds: bool, prop: str, message: str) -> None:
        if not holds:
            raise ConformanceError(f"{self.name} [{prop}]: {message}")

    def make(self, objective: Objective, *, seed: int = 0, trials: int | None = None, seeds: Any = None) -> Searcher:
        return self.factory(
            objective.space,
            epochs=objective.epochs,
            seeds=seeds or objective.seeds,
            seed=seed,
            trials=trials or self.trials,
        )

    def search(
        self,
        objective: Objective,
        prop: str,
        *,
        seed: int = 0,
        trials: int | None = None,
        seeds: tuple[int, ...] | None = None,
        workers: int = 1,
    ) -> list[dict[str, Any]]:
        """One watched search; its trials without what is measured."""
        trials = trials or self.trials
        with self.no_other_error(prop):
            watched = _Watched(self.make(objective, seed=seed, trials=trials, seeds=seeds), self, objective, prop)
            watched.seeds = seeds or objective.seeds
            watched.most = _MOST_ASKS * trials * objective.epochs[-1]
            found = run_loop(watched, objective, trials, Settings(sim_workers=workers))
        self.require(bool(found), prop, "the search ended before its first trial.")
        return _plain(found)

    @contextmanager
    def no_other_error(self, prop: str) -> Iterator[None]:
        try:
            yield
        except ConformanceError:
            raise
        except Exception as error:
            raise ConformanceError(f"{self.name} [{prop}]: it raised {type(error).__name__}: {error}") from error

    def uses_budget(self, objective: Objective, found: list[dict[str, Any]]) -> None:
        spent = found[-1]["evaluations"]
        exhausted = len({trial["code"] for trial in found}) == len(objective.space.canonical_codes)
        self.require(
            spent > self.trials - 1 or exhausted,
            "budget",
            f"it stopped after {spent:.3g} of {self.trials} full trainings, though there are architectures left.",
        )

    def is_reproducible(self, objective: Objective, first: list[dict[str, Any]], seeded: bool) -> None:
        numpy_state, python_state = np.random.get_state(), random.getstate()  # noqa: NPY002
        try:
            np.random.seed(12345)  # noqa: NPY002
            random.seed(12345)
            again = self.search(objective, "reproducible")
        finally:
            np.random.set_state(numpy_state)  # noqa: NPY002
            random.setstate(python_state)
        self.require(again == first, "reproducible", f"equal seeds gave different searches: {_first(again, first)}")
        if seeded:
            others = [self.search(objective, "seeds", seed=seed) for seed in (1, 2)]
            self.require(any(other != first for other in others), "seeds", "seeds 0, 1 and 2 give the same search.")

    def resumes(self, objective: Objective, workers: int) -> None:
        """The journal, written as JSON and read again, leads a fresh searcher to ask for the same at every step."""
        prop = "checkpoint and resume"
        with self.no_other_error(prop):
            whole = Journaled(self.make(objective))
            run_loop(whole, objective, self.trials, Settings(sim_workers=workers))
            try:
                replay(self.make(objective), json.loads(json.dumps(whole.lines)))
            except SearcherError as error:
                raise ConformanceError(f"{self.name} [{prop}]: {error}") from error

    def survives_failures(self) -> None:
        rows = range(len(make_toy_benchmark().space_definition.canonical_codes))
        everything = [(row, replicate) for row in rows for replicate in (0, 1, 2)]
        some: dict[str, Any] = {
            "diverged": everything[::3],
            "missing": everything[1::5],
            "unconverged": everything[2::4],
        }
        cases: dict[str, dict[str, Any]] = {
            "some failed results": some,
            "diverged results": {"diverged": everything[:-3]},
            "missing results": {"missing": everything[:-3]},
            "unconverged results": {"unconverged": everything},
        }
        for prop, failures in cases.items():
            self.search(Objective(make_toy_benchmark(**failures)), prop)
        self.search(Objective(make_toy_benchmark(**some)), "some failed results, several workers", workers=3)


class _Watched(Searcher):
    """Another searcher, each ask of which is checked."""

    def __init__(self, searcher: Searcher, kit: _Kit, objective: Objective, prop: str) -> None:
        self._searcher, self._kit, self._objective, self._prop = searcher, kit, objective, prop
        self._asked = 0
        self.seeds: tuple[int, ...] = objective.seeds
        self.most = 0
        kit.require(
            callable(getattr(searcher, "ask", None)) and callable(getattr(searcher, "tell", None)),
            "interface",
            f"the factory made a {type(searcher).__name__}; expected an object with ask() and tell(trial, result).",
        )

    def ask(self) -> Trial | None:
        trial = self._searcher.ask()
        if trial is None:
            return None
        require, prop = self._kit.require, self._prop
        require(isinstance(trial, Trial), prop, f"ask() gave {trial!r}; expected a Trial or None.")
        require(
            trial.number == self._asked,
            prop,
            f"trial number {trial.number} came where {self._asked} was due; count from 0.",
        )
        self._asked += 1
        require(self._asked <= self.most, prop, "it asks without end.")
        try:
            self._objective.space.code(trial.config)
        except MetabenchError as error:
            require(False, prop, f"trial {trial.number} asks for {trial.config!r}: {error}")
        epochs = self._objective.epochs
        require(trial.epoch in epochs, prop, f"trial {trial.number} asks for epoch {trial.epoch}; expected {epochs}.")
        require(trial.seed in self.seeds, prop, f"trial {trial.number} asks for seed {trial.seed} of {self.seeds}.")
        return trial

    def tell(self, trial: Trial, result: Result) -> None:
        self._searcher.tell(trial, result)


def _plain(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{key: value for key, value in trial.items() if key != "overhead_seconds"} for trial in found]


def _first(found: list[dict[str, Any]], expected: list[dict[str, Any]]) -> str:
    """Where two searches part."""
    keys = ("code", "epoch", "seed")
    for number, (one, other) in enumerate(zip(found, expected, strict=False)):
        if one != other:
            return f"line {number} is {[one[key] for key in keys]} and was {[other[key] for key in keys]}."
    return f"{len(found)} trials, and there were {len(expected)}."
