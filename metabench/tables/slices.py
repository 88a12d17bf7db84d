"""The numbers of one epoch and one replicate, or of the mean over replicates, laid out for queries."""

from __future__ import annotations

import struct
from collections.abc import Callable

import numpy as np

from metabench.tables.result import METRICS, Status

__all__ = ["UNCONVERGED_LIMIT", "Slice", "cut_slice", "statuses"]

UNCONVERGED_LIMIT = 0.05  # a training is called unconverged when more than this fraction of its samples missed

Arrays = tuple[np.ndarray, np.ndarray, np.ndarray]


def statuses(values: np.ndarray) -> list[Status]:
    """What became of each training, from its metrics ``(n, len(METRICS))``."""
    loss, unconverged = (values[:, METRICS.index(name)] for name in ("train_loss", "unconverged"))
    worst = [np.isnan(loss), np.isposinf(loss), unconverged > UNCONVERGED_LIMIT]  # the first that holds
    kinds = np.array([Status.MISSING, Status.DIVERGED, Status.UNCONVERGED, Status.OK], dtype=object)
    return kinds[np.select(worst, [0, 1, 2], 3)].tolist()


class Slice:
    """All metrics of every code at one epoch and replicate.

    Attributes:
        values: float32 ``(n_codes, n_metrics)``, in the order of ``METRICS``; NaN where a cell is missing.
        epoch: epochs trained.
        seed: the replicate, or ``"mean"``.
        status: of every code.
        read: the metrics of the row that begins at a byte of ``buffer``, as Python floats.
        buffer: the bytes of ``values``.
        stride: bytes of a row.
    """

    __slots__ = ("buffer", "epoch", "read", "seed", "status", "stride", "values")

    def __init__(self, values: np.ndarray, epoch: int, seed: int | str) -> None:
        self.values, self.epoch, self.seed, self.status = values, epoch, seed, statuses(values)
        row = struct.Struct(f"={len(METRICS)}f")  # one call where NumPy needs a view and a list
        self.read: Callable[..., tuple[float, ...]] = row.unpack_from
        self.buffer, self.stride = values.data.cast("B"), row.size

    def columns(self, codes: np.ndarray, chosen: list[int]) -> np.ndarray:
        """Some metrics of some codes, float32 ``(n, len(chosen))``."""
        if len(codes) < len(self.values):
            return self.values.take(codes, axis=0)[:, chosen]
        return self.values[:, chosen].take(codes, axis=0)


def cut_slice(arrays: Arrays, row_of: np.ndarray, place: int, replicate: int | None) -> np.ndarray:
    """The values of a :class:`Slice`.

    Args:
        arrays: results ``(architecture, seed, epoch, metric)``, seconds ``(architecture, seed, epoch)`` and costs
            ``(architecture, cost)``.
        row_of: the row of every code.
        place: index of the epoch.
        replicate: index of the replicate; None for the mean, which is missing where a replicate is.

    Returns:
        float32 ``(n_codes, n_metrics)``.
    """
    results, seconds, costs = arrays
    count, last = results.shape[1], results.shape[-1]
    values = np.empty((len(costs), len(METRICS)), dtype=np.float32)
    values[:, last + 1 :] = costs
    if not count:
        values[:, : last + 1] = np.nan
    elif replicate is None:  # one by one: much faster than mean() over a short axis
        values[:, :last] = sum(results[:, i, place].astype(np.float64) for i in range(count)) / count
        values[:, last] = sum(seconds[:, i, place].astype(np.float64) for i in range(count)) / count
    else:
        values[:, :last], values[:, last] = results[:, replicate, place], seconds[:, replicate, place]
    return values[row_of]
