"""The epochs, replicates and metrics that a benchmark has, and clear answers to questions about others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from metabench.errors import QueryError
from metabench.registry import did_you_mean
from metabench.tables.result import METRICS

__all__ = ["best_first", "epoch_place", "integer_codes", "known_seed", "metric_columns", "unknown_seed"]


def epoch_place(epochs: Sequence[int], epoch: Any) -> int:
    """The place of a recorded epoch; None is the last.

    Raises:
        QueryError: if it is not recorded; the message offers the nearest.
    """
    if epoch is None:
        return len(epochs) - 1
    if epoch in epochs:
        return epochs.index(epoch)
    recorded = ", ".join(map(str, epochs))
    if not isinstance(epoch, int | float | np.number) or epoch != epoch:
        raise QueryError(f"epoch {epoch!r} is no number; recorded: {recorded}.")
    nearest = min(epochs, key=lambda known: abs(known - epoch))
    raise QueryError(f"epoch {epoch} is not recorded; the nearest is {nearest} (recorded: {recorded}).")


def known_seed(seeds: Sequence[int], seed: Any, benchmark: str) -> Any:
    """A replicate as an int, or ``"mean"``.

    Raises:
        QueryError: if it is not recorded.
    """
    if isinstance(seed, str) and seed == "mean":
        return seed
    if isinstance(seed, int | np.integer) and seed in seeds:
        return int(seed)
    raise unknown_seed(seeds, seed, benchmark)


def unknown_seed(seeds: Sequence[int], seed: Any, benchmark: str) -> QueryError:
    """What to say of a replicate that a benchmark does not have."""
    return QueryError(f"seed {seed!r} is not in {benchmark}; expected {', '.join(map(str, seeds))}, 'mean' or 'all'.")


def metric_columns(metrics: Sequence[str]) -> list[int]:
    """The places of some metrics in ``METRICS``.

    Raises:
        QueryError: if one is unknown, or a single name is given instead of a list.
    """
    if isinstance(metrics, str):
        raise QueryError(f"metrics={metrics!r}: expected a list of names, as in [{metrics!r}].")
    for name in metrics:
        if name not in METRICS:
            raise QueryError(f"unknown metric {name!r}.{did_you_mean(str(name), METRICS)} Known: {', '.join(METRICS)}.")
    return [METRICS.index(name) for name in metrics]


def integer_codes(codes: Any) -> np.ndarray:
    """Codes as an array of integers ``(n,)``; one code is a list of one.

    Raises:
        QueryError: if they are not integers, or have another shape.
    """
    codes = np.atleast_1d(np.asarray(codes))
    if codes.ndim != 1 or (codes.size and not np.issubdtype(codes.dtype, np.integer)):
        raise QueryError(f"codes have shape {codes.shape} and type {codes.dtype}; expected integers (n,).")
    return codes


def best_first(scores: np.ndarray, metric: str) -> np.ndarray:
    """The order of ``scores`` ``(n,)`` from best to worst, equal ones as they stand, NaN last."""
    return np.argsort(-scores if metric in ("val_score", "test_score") else scores, kind="stable")
