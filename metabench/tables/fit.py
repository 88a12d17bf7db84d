"""Fits surrogates to a packed table, one a task."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metabench.datasets.task import Task
from metabench.errors import TableError
from metabench.spaces import JointSpace, Space, load_space, load_tabular_space
from metabench.surrogate import Measurements, Settings, fit_surrogate, surrogate_files
from metabench.tables.agent_task import load_table_task
from metabench.tables.fitted import METRICS, space_digits
from metabench.tables.result import ARCHITECTURE_METRICS
from metabench.tables.shards import table_home, write_atomically
from metabench.tables.table import Table, find_table, open_table

__all__ = ["FitReport", "fit_table", "open_measurements", "table_measurements"]


@dataclass(frozen=True)
class FitReport:
    """One fitted surrogate.

    Attributes:
        id: ``"space/task"``.
        architectures: how many it was fitted to.
        share: of the space's architectures, or of a joint space's samples.
        replicates: most seeds of an architecture.
        seconds: process-CPU seconds of the fit.
        bytes: of its files.
        folder: where they are.
    """

    id: str
    architectures: int
    share: float
    replicates: int
    seconds: float
    bytes: int
    folder: Path


def table_measurements(space: Space, table: Table, task: Task) -> Measurements:
    """One task of a table, as a surrogate and the card see it: float64, the training time as the last metric."""
    index = list(table.manifest["tasks"]).index(task.id)
    count, epochs = max(len(table.manifest["tasks"][task.id]["seeds"]), 1), len(task.epochs)
    values = np.concatenate(
        [table.results[index, :, :count, :epochs], table.seconds[index, :, :count, :epochs, None]], axis=-1
    )
    return Measurements(
        blocks=space.blocks,
        digits=space_digits(space, space.canonical_codes),
        epochs=task.epochs,
        metrics=METRICS,
        values=values,
        cost_names=ARCHITECTURE_METRICS,
        costs=table.costs[index],
    )


def open_measurements(
    space: str, tasks: Sequence[str] | None = None, *, out: Path | None = None
) -> tuple[Space, Table, dict[str, Measurements]]:
    """A space, its packed table, and what each task measured.

    Args:
        space: id, or path of the user's own definition.
        tasks: ids or paths; all of the table if left out (then they must be shipped ones).
        out: the space's folder; ``surrogates/<space>`` by default.

    Raises:
        TableError: if there is no table, it is damaged, or it does not cover a task.
    """
    definition = load_tabular_space(space)
    table = open_table(find_table(definition.id) if out is None else out / "table")
    chosen = [load_table_task(name) for name in (tasks or table.manifest["tasks"])]
    for task in chosen:
        if task.id not in table.manifest["tasks"] or tuple(table.manifest["blocks"]) != definition.blocks:
            raise TableError(
                f"the table of {definition.id!r} covers {', '.join(table.manifest['tasks'])}, not {task.id!r}; "
                f"build it with 'metabench build --space {definition.id} --tasks {task.id}'."
            )
    return definition, table, {task.id: table_measurements(definition, table, task) for task in chosen}


def _table(table: Table, task: str) -> dict[str, Any]:
    """What a surrogate of a table was fitted to."""
    about = table.manifest["tasks"][task]
    return {"sha256": about["sha256"], "finished": about["finished"], "protocols": table.manifest["protocols"]}


def _samples(codes: np.ndarray, data: Measurements) -> dict[str, Any]:
    """What a surrogate of sampled configurations was fitted to."""
    digest = hashlib.sha256(codes.tobytes() + data.values.tobytes())
    return {"sha256": digest.hexdigest(), "finished": int((~np.isnan(data.values[:, :, 0, 1])).sum())}


def fit_table(
    space: str, tasks: Sequence[str] | None = None, *, settings: Settings | None = None, out: Path | None = None
) -> list[FitReport]:
    """Fits a surrogate to each task of a packed table and writes it to ``<out>/surrogate/<task>``.

    That of a joint space is fitted to the finished trainings of its sampled configurations.

    Args:
        space: id, or path of the user's own definition.
        tasks: ids or paths; all of the table, or of a joint space's definition, if left out.
        settings: of the fit.
        out: the space's folder; ``surrogates/<space>`` by default.

    Raises:
        TableError: if there is no table or no finished training, or it is damaged.
        ArgumentError: if too little is measured.
    """
    definition = load_space(space)
    reports = []
    if isinstance(definition, JointSpace):
        from metabench.tables.joint_data import open_joint

        found = open_joint(definition, tasks, out=out)
        measured = {task: data for task, (_, data) in found.items()}
        whole = dict.fromkeys(measured, definition.sampling.samples)
        about = {task: _samples(codes, data) for task, (codes, data) in found.items()}
    else:
        _, table, measured = open_measurements(space, tasks, out=out)
        whole = {task: len(data.digits) for task, data in measured.items()}
        about = {task: _table(table, task) for task in measured}
    for task, data in measured.items():
        start = time.process_time()
        name = f"{definition.id}/{task}"
        surrogate = fit_surrogate(data, settings, name=name)
        seconds = time.process_time() - start
        command = f"metabench fit {definition.id} --tasks {task} --model {surrogate.settings.model}"
        files = surrogate_files(surrogate, {"command": command, "table": about[task], "licence": "Apache-2.0"})
        folder = table_home(definition.id, out) / "surrogate" / task
        for file, content in files.items():  # the manifest is the last: until then the old one names what is damaged
            write_atomically(folder / file, content)
        for path in folder.iterdir():
            if path.name not in files:  # of a model with more members
                path.unlink()
        reports.append(
            FitReport(
                id=name,
                architectures=surrogate.architectures,
                share=surrogate.architectures / whole[task],
                replicates=data.values.shape[1],
                seconds=seconds,
                bytes=sum(map(len, files.values())),
                folder=folder,
            )
        )
    return reports
