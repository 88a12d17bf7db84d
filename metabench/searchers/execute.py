"""Does units of work: fast searchers in this process, slow ones in processes of their own, or all of them on Dask."""

from __future__ import annotations

import logging
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from pathlib import Path
from typing import Any

from metabench.errors import ArgumentError, OptionalDependencyError
from metabench.machine import core_count, worker_pool
from metabench.searchers.objective import Objective
from metabench.searchers.plan import Unit, open_objective

__all__ = ["execute"]

_log = logging.getLogger(__name__)

Trials = list[dict[str, Any]]


def execute(
    units: Sequence[Unit],
    objectives: Mapping[str, Objective],
    *,
    workers: int | None,
    scheduler: str | None,
    progress: bool,
) -> tuple[dict[Unit, Trials], dict[Unit, str]]:
    """Runs units. This process alone writes, each run when it ends, so a killed search loses only what was running.

    Args:
        units: what is left to do.
        objectives: benchmark id -> objective, for the units done in this process.
        workers: processes for slow searchers; None takes one a core.
        scheduler: address of a Dask scheduler that does all units whose benchmark is named by id.
        progress: show a bar if stderr is a terminal.

    Returns:
        The trials of the units that finished, and what the others raised, in words.

    Raises:
        ArgumentError: if no Dask scheduler answers.
        OptionalDependencyError: if a searcher's package is not installed.
    """
    work = _Work()
    named = [unit for unit in units if isinstance(unit.benchmark, str)]
    apart = named if scheduler is not None else [unit for unit in named if _goes_apart(unit)]
    workers = min(workers or core_count(), len(apart))
    if scheduler is None and workers < 2:
        apart = []
    here = [unit for unit in units if unit not in set(apart)]
    with _bar(len(units), shown=progress) as work.advance:
        if apart and scheduler is not None:
            _on_dask(apart, scheduler, work)
        for unit in here:
            work.do(unit, objectives[unit.task])
        if apart and scheduler is None:
            for unit in _in_processes(apart, work, workers):
                work.do(unit, objectives[unit.task])
    return work.done, work.failures


class _Work:
    """What is finished so far."""

    def __init__(self) -> None:
        self.done: dict[Unit, Trials] = {}
        self.failures: dict[Unit, str] = {}
        self.advance: Callable[[], None] = lambda: None

    def do(self, unit: Unit, objective: Objective) -> None:
        """Runs a unit in this process. One searcher's fault must not lose the others' runs."""
        try:
            trials = unit.run(objective)
        except Exception as error:
            self.fail(unit, error)
        else:
            self.finish(unit, trials)

    def finish(self, unit: Unit, trials: Trials) -> None:
        unit.write(trials)
        self.done[unit] = trials
        self.advance()

    def fail(self, unit: Unit, error: BaseException) -> None:
        if isinstance(error, OptionalDependencyError):
            raise error  # every run of this searcher would fail alike, and the user can help it
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        unit.write_failure(reason)
        self.failures[unit] = reason
        _log.debug("%s on %s, seed %d failed", unit.searcher, unit.task, unit.seed, exc_info=error)
        self.advance()


def _goes_apart(unit: Unit) -> bool:
    """Slow and importable elsewhere: a class defined in the user's script is not."""
    slow = unit.maker.slow or unit.kind == "live"
    return slow and unit.maker.__module__ != "__main__" and "<locals>" not in unit.maker.__qualname__


def _in_processes(units: Sequence[Unit], work: _Work, workers: int) -> list[Unit]:
    """Runs units in processes; returns those whose process died."""
    broken: list[Unit] = []
    pool = worker_pool(workers)
    try:
        futures: dict[Future[Trials], Unit] = {}
        with _without_main_module():
            for unit in units:
                futures[pool.submit(_elsewhere, unit)] = unit
        for future in as_completed(futures):
            unit = futures[future]
            error = future.exception()
            if error is None:
                work.finish(unit, future.result())
            elif isinstance(error, BrokenProcessPool):
                broken.append(unit)
            else:
                work.fail(unit, error)
    except BrokenProcessPool:
        broken = [unit for unit in units if unit not in work.done and unit not in work.failures]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if broken:
        _log.warning("a worker process died; %d runs are done in this process instead.", len(broken))
    return broken


def _on_dask(units: Sequence[Unit], scheduler: str, work: _Work) -> None:
    """Runs units on the workers of a Dask cluster, which have metabench and the tables."""
    from distributed import Client
    from distributed import as_completed as as_dask_completes

    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ArgumentError(
            f"no Dask scheduler answers at {scheduler!r}: {reason}; start one or leave it out."
        ) from error
    with client:
        futures = {future: unit for unit, future in zip(units, client.map(_elsewhere, units, pure=False), strict=True)}
        for future in as_dask_completes(list(futures)):
            error = future.exception()
            if error is None:
                work.finish(futures[future], future.result())
            else:
                work.fail(futures[future], error)


def _elsewhere(unit: Unit) -> Trials:
    assert isinstance(unit.benchmark, str)  # others stay in the process that has them
    return unit.run(_objective_there(unit.benchmark, unit.kind, unit.folder))


@lru_cache(maxsize=8)
def _objective_there(benchmark: str, kind: str, folder: Path) -> Objective:
    return open_objective(benchmark, kind, folder)


@contextmanager
def _without_main_module() -> Iterator[None]:
    """Hides ``__main__`` while workers start.

    A spawned worker imports the caller's main module again, which would run a script without a ``__main__`` guard a
    second time. The units need nothing of it.
    """
    main = sys.modules["__main__"]
    sys.modules["__main__"] = types.ModuleType("__main__")
    try:
        yield
    finally:
        sys.modules["__main__"] = main


@contextmanager
def _bar(total: int, *, shown: bool) -> Iterator[Callable[[], None]]:
    if not shown or not sys.stderr.isatty() or not total:
        yield lambda: None
        return
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        SpinnerColumn(),
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("search runs", total=total)
        yield lambda: bar.advance(task)
