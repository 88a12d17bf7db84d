"""What a benchmark says of all its architectures: scores and costs, for trade-offs and for the scale of regret."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from metabench.analysis.comparison import Task
from metabench.errors import MetabenchError
from metabench.spaces import JointSpace

__all__ = ["COSTS", "Landscape", "open_landscape"]

COSTS = ("nfe_forward", "activation_bytes", "params")


@dataclass(frozen=True)
class Landscape:
    """Seed means at the last epoch; NaN where a training failed or is missing.

    Attributes:
        codes: canonical codes, ascending, (architectures,).
        names: block names.
        test_score: (architectures,).
        costs: metric out of :data:`COSTS` -> (architectures,).
    """

    codes: np.ndarray
    names: tuple[str, ...]
    test_score: np.ndarray
    costs: Mapping[str, np.ndarray]

    @property
    def regret_of_median(self) -> float:
        """Test regret of the median architecture: the unit in which regrets of different tasks are compared."""
        finite = self.test_score[np.isfinite(self.test_score)]
        return float(finite.max() - np.median(finite))


def open_landscape(task: Task) -> Landscape | str:
    """The landscape of a task, or why there is none."""
    if task.kind == "live":
        return "it was trained live, so not all architectures are known"
    from metabench.tables import open_benchmark

    try:
        benchmark = open_benchmark(task.id, kind=task.kind)  # type: ignore[arg-type]  # it checks the kind
    except MetabenchError as error:
        reason = str(error).partition(";")[0].rstrip(".")
        return f"the benchmark cannot be opened here ({reason})"
    wanted, found = task.table.get("sha256"), benchmark.provenance.get("sha256")
    if wanted is not None and found != wanted:
        return f"the runs used another table (sha256 {str(wanted)[:8]}) than the one here ({str(found)[:8]})"
    space = benchmark.space_definition
    if isinstance(space, JointSpace):
        return "its space is too large to be listed"
    codes = np.asarray(space.canonical_codes)
    values = np.asarray(benchmark.query_batch(codes, metrics=("test_score", *COSTS)), dtype=float)
    values[~np.isfinite(values)] = np.nan
    if not np.isfinite(values[:, 0]).any():
        return "no architecture has a score"
    return Landscape(
        codes=codes,
        names=tuple(str(space.architecture(int(code))) for code in codes),
        test_score=values[:, 0],
        costs={name: values[:, place] for place, name in enumerate(COSTS, start=1)},
    )
