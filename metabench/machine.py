"""What this machine gives a process."""

from __future__ import annotations

import os

__all__ = ["core_count"]


def core_count() -> int:
    """Cores that this process may use, which a container or a queue may hold below the machine's."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
