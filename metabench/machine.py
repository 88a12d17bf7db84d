"""What this machine gives a process, and processes beside it."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from concurrent.futures import ProcessPoolExecutor

__all__ = ["core_count", "worker_pool"]


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
