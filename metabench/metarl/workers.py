"""Trains seeds: in this process, in processes of this machine, or on a Dask cluster."""

from __future__ import annotations

import logging
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from metabench.errors import ArgumentError, MetabenchError
from metabench.machine import core_count, worker_pool
from metabench.metarl.run import Plan, Report, train

__all__ = ["Task", "train_here", "train_on_dask"]

_log = logging.getLogger(__name__)


class Task(NamedTuple):
    """One seed to train, from wherever its folder's checkpoint stands."""

    plan: Plan
    folder: Path
    tensorboard: bool
    progress: bool


def train_here(tasks: Sequence[Task], workers: int | None) -> dict[int, MetabenchError]:
    """Trains on this machine, in as many single-threaded processes as there are cores if ``workers`` is None.

    Returns:
        The seeds that failed, with their errors.
    """
    workers = min(workers or core_count(), len(tasks))
    if workers == 1:
        outcomes = [_train(task) for task in tasks]
    else:
        with worker_pool(workers) as pool:
            outcomes = list(pool.map(_train, tasks))
    return _failures(tasks, outcomes)


def train_on_dask(tasks: Sequence[Task], scheduler: str) -> dict[int, MetabenchError]:
    """Trains on the workers of a Dask scheduler, which must see the tasks' folders under the same paths.

    Raises:
        ArgumentError: if no scheduler answers.
    """
    from distributed import Client

    try:
        client = Client(scheduler, timeout="10s")
    except (OSError, ValueError) as error:
        raise ArgumentError(
            f"no Dask scheduler answers at {scheduler!r}: {error}; start one or leave it out."
        ) from error
    absolute = [task._replace(folder=task.folder.resolve()) for task in tasks]
    with client:
        futures = [client.submit(_train, task, pure=False, retries=2) for task in absolute]
        outcomes = [future.result() for future in futures]
    return _failures(tasks, outcomes)


def _failures(tasks: Sequence[Task], outcomes: Sequence[MetabenchError | None]) -> dict[int, MetabenchError]:
    return {task.plan.seed: error for task, error in zip(tasks, outcomes, strict=True) if error is not None}


def _train(task: Task) -> MetabenchError | None:
    """Trains one seed; a mistake is handed back, so that it does not stop the other seeds."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more of them on small tensors cost 30-100x when cores are shared
    try:
        tell = _show if task.progress else _note
        train(task.plan, task.folder, resume=True, tensorboard=task.tensorboard, tell=tell)
    except MetabenchError as error:
        return error
    finally:
        torch.set_num_threads(threads)
    return None


def _line(report: Report) -> str:
    returns = " ".join(f"{value:.2f}" for value in report.result.episodes[:8])
    fraction = report.result.fraction
    share = "" if fraction is None else f"  {fraction:.1%} of the reference"
    return (
        f"seed {report.seed}  {report.frames:>12,} of {report.total:,} frames  {report.frames_per_second:>8,.0f}/s  "
        f"return per episode {returns}{share}"
    )


def _note(report: Report) -> None:
    _log.info("%s", _line(report))


def _show(report: Report) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(_line(report) + "\n")
        sys.stderr.flush()
