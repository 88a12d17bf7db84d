"""How long a piece of work takes on a device."""

from __future__ import annotations

import time

import torch

__all__ = ["seconds_on"]


def seconds_on(device: torch.device) -> float:
    """A clock that advances with the work of this thread: CPU seconds, or wall-clock seconds of a finished device."""
    if device.type == "cpu":
        return time.thread_time()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()
