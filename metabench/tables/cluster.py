"""Where the units of a build run: processes of this machine, a Dask scheduler, or jobs of a batch queue."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from metabench.errors import ArgumentError, OptionalDependencyError
from metabench.registry import did_you_mean

__all__ = ["QUEUES", "dask_client", "job_script"]

QUEUES = {
    "slurm": "SLURMCluster",
    "pbs": "PBSCluster",
    "sge": "SGECluster",
    "lsf": "LSFCluster",
    "oar": "OARCluster",
    "htcondor": "HTCondorCluster",
}
_JOB = {"cores": 1, "processes": 1, "memory": "4GiB"}  # what Dask's own jobqueue.yaml leaves open


def _queue_cluster(name: str) -> Any:
    """A cluster of one-core jobs; partitions, accounts and time limits come from Dask's ``jobqueue.yaml``."""
    if name not in QUEUES:
        raise ArgumentError(f"unknown job queue {name!r}.{did_you_mean(name, QUEUES)} Known: {', '.join(QUEUES)}.")
    try:
        import dask_jobqueue
    except ImportError as error:
        raise OptionalDependencyError(
            "a job queue needs dask-jobqueue; install it with pip install 'metabench[jobqueue]'."
        ) from error
    import dask.config

    given = dask.config.get(f"jobqueue.{name}", {}) or {}
    settings = {key: value for key, value in _JOB.items() if given.get(key) is None}
    try:
        return getattr(dask_jobqueue, QUEUES[name])(**settings)
    except (ValueError, OSError) as error:
        raise ArgumentError(f"job queue {name!r}: {error}; set it in Dask's jobqueue.yaml.") from error


def job_script(queue: str) -> str:
    """The script that every job of ``queue`` would run; nothing is submitted.

    Raises:
        ArgumentError: for an unknown queue.
        OptionalDependencyError: without the ``[jobqueue]`` extra.
    """
    with _queue_cluster(queue) as cluster:
        return cluster.job_script()


_QUIET = {"distributed.worker.daemon": False, "distributed.admin.log-format": "%(message)s"}

# Dask has a worker's allocator give memory back at every chance, and threads but the first have small heaps, mapped and
# unmapped: half of a training step's time went into page faults. So a worker keeps what it has had.
_ALLOCATOR = {
    f"distributed.nanny.pre-spawn-environ.{name}": value
    for name, value in {
        "MALLOC_ARENA_MAX": 1,
        "MALLOC_TRIM_THRESHOLD_": 2**30,
        "MALLOC_MMAP_THRESHOLD_": 2**25,  # the most that glibc takes
    }.items()
}


@contextmanager
def dask_client(workers: int | None = None, scheduler: str | None = None, queue: str | None = None) -> Iterator[Any]:
    """A Dask client of single-threaded workers.

    Args:
        workers: processes or jobs; a process a core, or ten jobs, if left out.
        scheduler: address of a running scheduler; its own workers are used.
        queue: name of a batch queue to submit the workers to.

    Raises:
        ArgumentError: if no scheduler answers, both are given, or the queue is unknown.
    """
    import dask.config
    from distributed import Client, LocalCluster

    if scheduler is not None and queue is not None:
        raise ArgumentError("both a scheduler and a job queue are given; expected one of them.")
    with dask.config.set({**_QUIET, **_ALLOCATOR}):
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
        if queue is not None:
            cluster = _queue_cluster(queue)
            cluster.scale(jobs=workers or 10)
        else:
            cluster = LocalCluster(
                n_workers=workers,
                threads_per_worker=1,
                processes=True,
                dashboard_address="127.0.0.1:0",
                silence_logs=logging.ERROR,
            )
        with cluster, Client(cluster) as client:
            yield client
