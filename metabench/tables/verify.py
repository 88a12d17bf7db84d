"""Trains a random sample of a table's rows again, and compares."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from metabench.datasets import Task
from metabench.errors import ArgumentError, TableError
from metabench.registry import did_you_mean
from metabench.seeding import numpy_generator
from metabench.spaces import Space, load_tabular_space
from metabench.tables.agent_task import load_table_task
from metabench.tables.pack import protocols_hash
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS
from metabench.tables.shards import Shard
from metabench.tables.table import Table, find_table, open_table
from metabench.tables.units import Unit, run_unit

__all__ = ["Check", "RowReport", "VerifyReport", "compare_row", "seed_noise", "verify_table"]

# A row was trained in a batch with others and is retrained alone, perhaps on another machine, so its arithmetic is
# rounded otherwise. What is counted without a solve is equal. One epoch on, the curves are still together (to about
# 1e-7 on the machine that trained the row). Some epochs later rounding has grown, and at the end the retraining is, at
# worst, another draw of the seed noise.
FIRST_LOSS = 1e-3  # relative
FIRST_SCORE = 0.005
FIRST_NFE = 0.01  # relative
FIRST_UNCONVERGED = 0.01
FLOPS = 0.1  # relative, of one forward pass at the initial weights: an implicit block's iterations are among them
LAST_SCORE = 4 * math.sqrt(2)  # standard deviations of the seed noise: 4 of the difference of two draws


@dataclass(frozen=True)
class Check:
    """One number compared.

    Attributes:
        name: metric, and the epoch if it has one: ``"val_score@20"``.
        stored: what the table says.
        found: what the retraining gave.
        allowed: greatest absolute difference that agrees.
    """

    name: str
    stored: float
    found: float
    allowed: float

    @property
    def difference(self) -> float:
        """Absolute; infinite if only one diverged."""
        return 0.0 if self.stored == self.found else abs(self.found - self.stored)

    @property
    def agrees(self) -> bool:
        """Whether the difference is no more than is allowed."""
        return self.difference <= self.allowed  # never of a NaN


@dataclass(frozen=True)
class RowReport:
    """One row of the sample.

    Attributes:
        task: task id.
        architecture: block names.
        code: canonical code.
        seed: replicate.
        checks: all that was compared.
    """

    task: str
    architecture: tuple[str, ...]
    code: int
    seed: int
    checks: tuple[Check, ...]

    @property
    def agrees(self) -> bool:
        """Whether every check does."""
        return all(check.agrees for check in self.checks)


@dataclass(frozen=True)
class VerifyReport:
    """A whole sample.

    Attributes:
        space: space id.
        folder: the table.
        finished: rows that the sample was drawn from.
        rows: the sample, in the table's order.
        seconds: wall-clock seconds.
    """

    space: str
    folder: Path
    finished: int
    rows: tuple[RowReport, ...]
    seconds: float

    @property
    def agrees(self) -> bool:
        """Whether every row does."""
        return all(row.agrees for row in self.rows)


def seed_noise(scores: np.ndarray, row: int, replicate: int, samples: int) -> float:
    """Standard deviation of a score over replicates: the table's, or the architecture's own if it is louder.

    The table's is from the median of the architectures' variances, the own one leaves out the replicate in question: a
    wrong number must not widen the band that it is judged by.

    Args:
        scores: ``(architecture, seed)``, NaN where missing.
        row: the architecture in question.
        replicate: the index of the seed in question.
        samples: of the split; without two replicates anywhere, the binomial deviation of a score on as many.
    """
    from scipy.stats import chi2

    counts = np.isfinite(scores).sum(axis=1)
    others = np.delete(scores[row].astype(np.float64), replicate)
    others = others[np.isfinite(others)]
    own = others.var(ddof=1) if len(others) > 1 else 0.0
    several = counts > 1
    if not several.any():
        middle = float(np.nanmedian(scores))
        return math.sqrt(max(middle * (1 - middle), 1 / samples) / samples)
    freedom = counts[several] - 1
    # The median of a normal sample's variance is below the variance itself.
    unbiased = np.nanvar(scores[several].astype(np.float64), axis=1, ddof=1) * freedom / chi2.median(freedom)
    return math.sqrt(max(float(np.median(unbiased)), own))


def compare_row(table: Table, task: Task, place: tuple[int, int, int], again: Shard) -> tuple[Check, ...]:
    """Compares one stored row with its retraining.

    Args:
        table: the table.
        task: the row's task.
        place: indices of the task, the architecture and the seed.
        again: the retraining of that row alone.
    """
    index, row, seed = place
    stored, found = table.results[index, row, seed], again.values[0, 0]
    costs = {name: float(table.costs[index, row, i]) for i, name in enumerate(ARCHITECTURE_METRICS)}
    spent = {name: float(np.float32(again.cost[0, i])) for i, name in enumerate(ARCHITECTURE_METRICS)}
    checks = [
        Check(name, costs[name], spent[name], allowed)
        for name, allowed in (("params", 0), ("activation_bytes", 0), ("flops", FLOPS * costs["flops"]))
    ]

    def add(name: str, epoch: int, allowed: float, relative: bool = False) -> None:
        column = TRAINING_METRICS.index(name)
        old, new = float(stored[epoch, column]), float(found[epoch, column])
        limit = allowed * abs(old) if relative and math.isfinite(old) else allowed
        checks.append(Check(f"{name}@{task.epochs[epoch]}", old, new, limit))

    last = len(task.epochs) - 1
    if last > 0:
        add("train_loss", 0, FIRST_LOSS, relative=True)
        add("nfe_forward", 0, FIRST_NFE, relative=True)
        add("nfe_backward", 0, FIRST_NFE, relative=True)
        add("unconverged", 0, FIRST_UNCONVERGED)
    for split in ("val", "test"):
        name, samples = f"{split}_score", task.splits[split]
        if last > 0:
            add(name, 0, max(FIRST_SCORE, 2 / samples))
        scores = table.results[index, :, :, last, TRAINING_METRICS.index(name)]
        add(name, last, max(LAST_SCORE * seed_noise(scores, row, seed, samples), 2 / samples))
    return tuple(checks)


def verify_table(
    space: str,
    *,
    tasks: Sequence[str] | None = None,
    rows: int = 10,
    seed: int = 0,
    on_row: Callable[[RowReport], None] | None = None,
) -> VerifyReport:
    """Retrains a random sample of the finished rows of a packed table, each alone, in this process on one thread.

    Parameters and activation bytes must be equal. At the first checkpoint the training loss may differ by 0.1%, scores
    by 0.005 (or two samples), function evaluations by 1% and the unconverged fraction by 0.01; FLOPs, which count a
    solve's iterations, by 10%. The last checkpoint's scores may differ by 4 standard deviations of the difference of
    two replicates (:func:`seed_noise`). Times are not compared.

    Args:
        space: id, or path of the user's own definition.
        tasks: ids in the table, or paths of the user's own definitions; all in the table if left out.
        rows: size of the sample; all finished rows if there are no more.
        seed: of the draw.
        on_row: called after each row.

    Raises:
        ArgumentError: if ``rows`` < 1 or a task is not in the table.
        TableError: if there is no table, it is damaged, has no finished row, or was trained by another protocol.
    """
    if rows < 1:
        raise ArgumentError(f"rows={rows}: expected at least 1.")
    start = time.monotonic()
    definition = load_tabular_space(space)
    given = {task.id: task for task in map(load_table_task, tasks or ())}
    table = open_table(find_table(definition.id))
    known = list(table.manifest["tasks"])
    for name in given:
        if name not in known:
            raise ArgumentError(
                f"task {name!r} is not in the table of {definition.id!r}.{did_you_mean(name, known)} "
                f"Known: {', '.join(known)}."
            )
    defined = [given.get(name) or load_table_task(name) for name in known]
    _check_protocols(definition, defined, table)
    finished = [
        (i, int(row), int(replicate))
        for i, task in enumerate(defined)
        if not given or task.id in given
        for row, replicate in zip(*np.nonzero(~np.isnan(table.results[i, :, :, 0, 0])), strict=True)
    ]
    if not finished:
        raise TableError(f"{table.folder}: no finished row to verify; run 'metabench build --space {space}' first.")
    drawn = numpy_generator("verify", seed).choice(len(finished), size=min(rows, len(finished)), replace=False)
    reports = []
    for i in sorted(drawn.tolist()):
        reports.append(_retrain(definition, defined[finished[i][0]], table, finished[i]))
        if on_row is not None:
            on_row(reports[-1])
    return VerifyReport(definition.id, table.folder, len(finished), tuple(reports), time.monotonic() - start)


def _check_protocols(space: Space, tasks: Sequence[Task], table: Table) -> None:
    if tuple(table.manifest["blocks"]) != space.blocks or table.manifest["protocols"] != protocols_hash(space, tasks):
        raise TableError(
            f"{table.folder}: was trained by another protocol (trainer, blocks, width or a task changed since), so its "
            f"rows cannot be trained again; run 'metabench build --space {space.id}'."
        )


def _retrain(space: Space, task: Task, table: Table, place: tuple[int, int, int]) -> RowReport:
    code = int(space.canonical_codes[place[1]])
    architecture = space.architecture(code)
    again = run_unit(Unit((architecture,), task, space.width, (place[2],)))
    return RowReport(task.id, architecture.blocks, code, place[2], compare_row(table, task, place, again))
