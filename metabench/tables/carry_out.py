"""Carries out the units of a build, whatever they train: on Dask, resumable, under the table's lock."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metabench.errors import MetabenchError, TableError
from metabench.tables.cluster import dask_client
from metabench.tables.shards import Shard, lock_table, write_shard

__all__ = ["BuildReport", "Plan", "Where", "carry_out"]

_log = logging.getLogger(__name__)

Plan = Callable[[], tuple[Sequence[Any], int, int]]
"""Units with unfinished rows, and the numbers of unfinished and of all trainings."""


@dataclass(frozen=True)
class BuildReport:
    """What a build did.

    Attributes:
        space: space id.
        tasks: task ids.
        planned: trainings (architecture x task x seed) in the table.
        done_before: those that were finished before this call.
        trained: those that this call trained.
        seconds: wall-clock seconds.
        folder: where the table is.
        packed: whether the table's arrays were written.
        samples: configurations of a joint space; None of a table.
    """

    space: str
    tasks: tuple[str, ...]
    planned: int
    done_before: int
    trained: int
    seconds: float
    folder: Path
    packed: bool
    samples: int | None = None


@dataclass(frozen=True)
class Where:
    """Where units are trained; as for :func:`~metabench.tables.cluster.dask_client`."""

    workers: int | None = None
    scheduler: str | None = None
    queue: str | None = None


def carry_out(
    plan: Plan,
    work: Callable[[Any], Shard],
    where: Where,
    home: Path,
    *,
    space: str,
    tasks: tuple[str, ...],
    pack: Callable[[], object] | None = None,
    samples: int | None = None,
    progress: bool = False,
    dry_run: bool = False,
) -> BuildReport:
    """Does ``work`` on the planned units and packs what there is then, or only plans.

    Args:
        plan: what is to be done; asked under the lock, unless it is only planned.
        work: trains one unit, on a worker.
        where: the workers.
        home: the space's folder.
        space: for the report.
        tasks: for the report.
        pack: writes the table's arrays; None if there are none.
        samples: for the report.
        progress: show a bar on stderr if it is a terminal.
        dry_run: plan only.
    """
    start = time.monotonic()
    if dry_run:
        _, missing, planned = plan()
        return BuildReport(space, tasks, planned, planned - missing, 0, 0.0, home, packed=False, samples=samples)
    with lock_table(home):
        units, missing, planned = plan()
        if units:
            with dask_client(where.workers, where.scheduler, where.queue) as client:
                _run(work, units, missing, client, home, progress)
        if pack is not None:
            pack()
    seconds, done = time.monotonic() - start, planned - missing
    return BuildReport(space, tasks, planned, done, missing, seconds, home, packed=pack is not None, samples=samples)


def _run(
    work: Callable[[Any], Shard], units: Sequence[Any], trainings: int, client: Any, home: Path, progress: bool
) -> None:
    """Does ``work`` on the units; this process alone writes, so a killed worker loses only what it was training."""
    from distributed import as_completed
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    console = Console(stderr=True)
    columns = (
        TextColumn("training {task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TextColumn("left"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=console, disable=not (progress and sys.stderr.isatty())) as bar:
        shown, finished = bar.add_task(home.name, total=trainings), 0
        for future in as_completed(client.map(work, units, pure=False, retries=2)):
            try:
                shard = future.result()
            except MetabenchError:
                raise
            except Exception as error:
                raise TableError(f"a training failed on its worker: {error!r}; finished rows are kept.") from error
            write_shard(home, shard)
            count = len(shard.architectures) * len(shard.seeds)
            finished += count
            bar.update(shown, advance=count)
            _log.info("%d of %d trainings", finished, trainings)
