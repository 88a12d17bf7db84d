"""Does units of work: fast searchers in this process, slow ones in processes of their own."""

from __future__ import annotations

import logging
import multiprocessing
import os
import sys
import types
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

from metabench.searchers.objective import Objective
from metabench.searchers.plan import Unit, open_objective

__all__ = ["execute"]

_log = logging.getLogger(__name__)


def execute(
    units: Sequence[Unit],
    objectives: Mapping[str, Objective],
    done: dict[Unit, list[dict[str, Any]]],
    *,
    workers: int | None,
    progress: bool,
) -> dict[Unit, str]:
    """Runs units and enters the trials of each finished one in ``done``.

    Args:
        units: what is left to do.
        objectives: benchmark id -> objective, for the units done in this process.
        done: filled here.
        workers: processes for slow searchers; None takes one a core.
        progress: show a bar if stderr is a terminal.

    Returns:
        The units that raised, with what they raised in words.
    """
    failures: dict[Unit, str] = {}
    apart = [unit for unit in units if _goes_apart(unit)]
    workers = min(workers or _cores(), len(apart))
    if workers < 2:
        apart = []
    with _bar(len(units), shown=progress) as advance:
        for unit in units:
            if unit not in apart:
                _here(unit, objectives[unit.task], done, failures, advance)
        if apart:
            _in_processes(apart, objectives, done, failures, advance, workers)
    return failures


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _goes_apart(unit: Unit) -> bool:
    """Slow and importable elsewhere: a class or benchmark defined in the user's script is not."""
    named = isinstance(unit.benchmark, str)
    return (
        unit.maker.slow and named and unit.maker.__module__ != "__main__" and "<locals>" not in unit.maker.__qualname__
    )


def _here(
    unit: Unit,
    objective: Objective,
    done: dict[Unit, list[dict[str, Any]]],
    failures: dict[Unit, str],
    advance: Callable[[], None],
) -> None:
    try:
        done[unit] = unit.run(objective)
    except Exception as error:  # one searcher's fault must not lose the others' runs
        _fail(unit, error, failures)
    advance()


def _fail(unit: Unit, error: BaseException, failures: dict[Unit, str]) -> None:
    failures[unit] = f"{type(error).__name__}: {error}"
    _log.debug("%s on %s, seed %d failed", unit.searcher, unit.task, unit.seed, exc_info=error)


def _in_processes(
    units: Sequence[Unit],
    objectives: Mapping[str, Objective],
    done: dict[Unit, list[dict[str, Any]]],
    failures: dict[Unit, str],
    advance: Callable[[], None],
    workers: int,
) -> None:
    broken: list[Unit] = []
    pool = ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn"))
    try:
        futures: dict[Future[list[dict[str, Any]]], Unit] = {}
        with _without_main_module():
            for unit in units:
                futures[pool.submit(_elsewhere, unit)] = unit
        for future in as_completed(futures):
            unit = futures[future]
            error = future.exception()
            if error is None:
                done[unit] = future.result()
                advance()
            elif isinstance(error, BrokenProcessPool):
                broken.append(unit)
            else:
                _fail(unit, error, failures)
                advance()
    except BrokenProcessPool:
        broken = [unit for unit in units if unit not in done and unit not in failures]
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
    if broken:
        _log.warning("a worker process died; %d runs are done in this process instead.", len(broken))
    for unit in broken:
        _here(unit, objectives[unit.task], done, failures, advance)


def _elsewhere(unit: Unit) -> list[dict[str, Any]]:
    return unit.run(_objective_here(unit.benchmark, unit.kind))


@lru_cache(maxsize=8)
def _objective_here(benchmark: str, kind: str) -> Objective:
    return open_objective(benchmark, kind)


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
