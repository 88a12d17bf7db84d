"""Builds a table: trains every architecture that has no finished row yet, on Dask."""

from __future__ import annotations

import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from metabench.content import identifiers
from metabench.datasets import Task, load_task
from metabench.errors import ArgumentError, MetabenchError, TableError
from metabench.spaces import Space, load_space
from metabench.tables.pack import pack_rows
from metabench.tables.shards import read_row, shard_path, table_home, write_row
from metabench.tables.units import Unit, row_key, run_unit

__all__ = ["BuildReport", "build_table", "pack_table"]

_log = logging.getLogger(__name__)


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
    """

    space: str
    tasks: tuple[str, ...]
    planned: int
    done_before: int
    trained: int
    seconds: float
    folder: Path
    packed: bool


def _units(space: Space, tasks: Sequence[Task], seeds: int, home: Path) -> tuple[list[Unit], int]:
    """Units with at least one unfinished seed, and the number of unfinished trainings."""
    units: list[Unit] = []
    for task in tasks:
        for code in space.canonical_codes:
            architecture = space.architecture(int(code))
            missing = tuple(
                seed
                for seed in range(seeds)
                if not shard_path(home, task.id, row_key(architecture, task, space.width, seed)).is_file()
            )
            if missing:
                units.append(Unit(architecture, task, space.width, missing))
    return units, sum(len(unit.seeds) for unit in units)


@contextmanager
def _client(workers: int | None, scheduler: str | None) -> Iterator[Any]:
    """A Dask client: of the given scheduler, or of a local cluster of single-threaded processes."""
    import dask.config
    from distributed import Client, LocalCluster

    quiet = {"distributed.worker.daemon": False, "distributed.admin.log-format": "%(message)s"}
    with dask.config.set(quiet):
        if scheduler is not None:
            try:
                client = Client(scheduler, timeout="10s")
            except (OSError, ValueError) as error:
                raise ArgumentError(
                    f"no Dask scheduler answers at {scheduler!r}: {error}; start one or leave it out."
                ) from error
            with client:
                yield client
            return
        cluster = LocalCluster(
            n_workers=workers,
            threads_per_worker=1,
            processes=True,
            dashboard_address="127.0.0.1:0",
            silence_logs=logging.ERROR,
        )
        with cluster, Client(cluster) as client:
            yield client


def _run(units: Sequence[Unit], trainings: int, client: Any, home: Path, space: Space, progress: bool) -> None:
    """Runs the units; this process alone writes, so a killed worker loses only what it was training."""
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
        shown, finished = bar.add_task(space.id, total=trainings), 0
        futures = dict(zip(client.map(run_unit, units, pure=False, retries=2), units, strict=True))
        for future in as_completed(list(futures)):
            try:
                rows = future.result()
            except MetabenchError:
                raise
            except Exception as error:
                raise TableError(f"a training failed on its worker: {error!r}; finished rows are kept.") from error
            unit = futures[future]
            for seed, row in zip(unit.seeds, rows, strict=True):
                write_row(home, row_key(unit.architecture, unit.task, unit.width, seed), row)
            finished += len(rows)
            bar.update(shown, advance=len(rows))
            _log.info("%d of %d trainings", finished, trainings)


def build_table(
    space: str,
    tasks: Sequence[str] | None = None,
    *,
    seeds: int = 3,
    workers: int | None = None,
    scheduler: str | None = None,
    out: Path | None = None,
    progress: bool = False,
    dry_run: bool = False,
) -> BuildReport:
    """Trains all architectures of a space on the tasks, then packs the table. Finished rows are never trained again.

    Args:
        space: id, or path of the user's own definition.
        tasks: ids or paths; all shipped data sets if left out.
        seeds: replicates 0 to ``seeds`` - 1.
        workers: local single-threaded processes; one a core by default.
        scheduler: address of a Dask scheduler (``tcp://host:8786``) to use instead.
        out: the table's folder; ``surrogates/<space>`` by default.
        progress: show a bar on stderr if it is a terminal.
        dry_run: plan only.

    Raises:
        MetabenchError: for a bad argument or definition, or if a training fails; what is finished is kept.
    """
    start = time.monotonic()
    if seeds < 1 or (workers is not None and workers < 1):
        raise ArgumentError(f"seeds={seeds}, workers={workers}: expected at least 1.")
    definition = load_space(space)
    chosen = [load_task(name) for name in (tasks or identifiers("tasks", of="dataset"))]
    home = table_home(definition.id, out)
    units, missing = _units(definition, chosen, seeds, home)
    planned = len(definition.canonical_codes) * len(chosen) * seeds
    names = tuple(task.id for task in chosen)
    if dry_run:
        return BuildReport(definition.id, names, planned, planned - missing, 0, 0.0, home, packed=False)
    if units:
        with _client(workers, scheduler) as client:
            _run(units, missing, client, home, definition, progress)
    pack_rows(definition, chosen, seeds, home)
    seconds = time.monotonic() - start
    return BuildReport(definition.id, names, planned, planned - missing, missing, seconds, home, packed=True)


def pack_table(space: str, tasks: Sequence[str] | None = None, *, out: Path | None = None) -> Path:
    """Packs the finished rows of a space, of however many seeds there are; unfinished cells stay NaN.

    Args:
        space: id, or path of the user's own definition.
        tasks: ids or paths; all tasks with finished rows if left out (then they must be shipped ones).
        out: the space's folder; ``surrogates/<space>`` by default.

    Returns:
        The folder of the packed table.

    Raises:
        TableError: if there are no finished rows.
    """
    definition = load_space(space)
    home = table_home(definition.id, out)
    ids = sorted(path.name for path in (home / "shards").glob("*") if path.is_dir())
    chosen = [load_task(name) for name in (tasks or ids)]
    if not ids:
        raise TableError(f"{home}: no finished rows to pack; run 'metabench build --space {space}' first.")
    shards = [path for task in chosen for path in (home / "shards" / task.id).glob("*.json")]
    seeds = 1 + max((read_row(path)["seed"] for path in shards), default=0)
    return pack_rows(definition, chosen, seeds, home)
