"""What this machine gives a process, and processes beside it."""

from __future__ import annotations

import os
from collections.abc import Callable, Hashable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

__all__ = ["core_count", "each_done", "worker_pool"]

_Key = TypeVar("_Key", bound=Hashable)
_Found = TypeVar("_Found")


def core_count() -> int:
    """Cores that this process may use, which a container or a queue may hold below the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def worker_pool(workers: int, begin: Callable[..., Any] | None = None, *arguments: Any) -> ProcessPoolExecutor:
    """Processes that are started afresh, share nothing, and end when this process is gone, however it went.

    Args:
        workers: how many.
        begin: what each calls first.
        *arguments: of that call.
    """
    from concurrent.futures import ProcessPoolExecutor
    from multiprocessing import get_context

    context = get_context("spawn")
    return ProcessPoolExecutor(workers, mp_context=context, initializer=_begin, initargs=(begin, arguments))


def each_done(
    call: Callable[..., _Found], jobs: Mapping[_Key, tuple[Any, ...]], workers: int
) -> Iterator[tuple[_Key, _Found]]:
    """Calls with the arguments of each job, in processes of :func:`worker_pool`; those of one worker stay in this one.

    Args:
        call: what is called; it and its arguments travel to other processes.
        jobs: key -> arguments.
        workers: how many.

    Yields:
        Key and result as soon as there is one. If the caller stops early, or a job fails, what has not begun is left.
    """
    if workers < 2:
        yield from ((key, call(*arguments)) for key, arguments in jobs.items())
        return
    from concurrent.futures import as_completed

    with worker_pool(workers) as pool:
        futures = {pool.submit(call, *arguments): key for key, arguments in jobs.items()}
        try:
            for future in as_completed(futures):
                yield futures[future], future.result()
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _begin(begin: Callable[..., Any] | None, arguments: tuple[Any, ...]) -> None:
    """In a worker: a killed parent cannot end it, and it would go on, or wait for work, for ever."""
    import multiprocessing
    import threading
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    if parent is not None:
        sentinel = parent.sentinel
        threading.Thread(target=lambda: (wait([sentinel]), os._exit(1)), daemon=True).start()
    if begin is not None:
        begin(*arguments)
