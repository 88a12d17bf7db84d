"""Tables: build, pack, open and query."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS, Result, Status

if TYPE_CHECKING:
    from metabench.datasets.task import Task
    from metabench.spaces import JointSpace
    from metabench.tables.benchmark import Benchmark
    from metabench.tables.build import BuildReport, build_table, pack_table
    from metabench.tables.costs import measure_costs
    from metabench.tables.export import ExportReport, export_table
    from metabench.tables.fit import FitReport, fit_table
    from metabench.tables.joint_benchmark import JointBenchmark
    from metabench.tables.verify import VerifyReport, verify_table

__all__ = [
    "ARCHITECTURE_METRICS",
    "TRAINING_METRICS",
    "Benchmark",
    "BuildReport",
    "ExportReport",
    "FitReport",
    "JointBenchmark",
    "Result",
    "Status",
    "VerifyReport",
    "build_table",
    "export_table",
    "fit_table",
    "measure_costs",
    "open_benchmark",
    "pack_table",
    "verify_table",
]


def open_benchmark(name: str, kind: Literal["table", "surrogate", "live"] = "table") -> Benchmark | JointBenchmark:
    """Opens ``"space/task"``; of a joint space, whose ``kind`` is ``"surrogate"`` or ``"live"``, a JointBenchmark.

    Args:
        name: a space's id and a task's id with a slash between them; for definitions of your own, paths joined by a
            colon: ``"./my-space.toml:./my-task.toml"``.
        kind: ``"table"`` answers what was trained; ``"surrogate"`` what was fitted to it, for every architecture (its
            replicates are noisy draws); ``"live"`` trains when asked.

    Raises:
        ArgumentError: if the name or the kind is malformed.
        ContentError: if there is no such space or task.
        TableError: if there is no table or surrogate, or it is damaged, or it does not cover the task.
    """
    from metabench.datasets.task import load_task
    from metabench.errors import ArgumentError, TableError
    from metabench.registry import did_you_mean
    from metabench.spaces import JointSpace, load_space
    from metabench.tables.agent_task import load_table_task
    from metabench.tables.benchmark import Benchmark
    from metabench.tables.source import LiveSource, TableSource
    from metabench.tables.table import find_table, open_table

    separator = ":" if ".toml" in name else "/"
    first, _, second = name.partition(separator)
    if not first or not second:
        raise ArgumentError(f"{name!r} is not SPACE/TASK; expected for example 'cells2-v1/mnist1d-v1'.")
    space = load_space(first)
    task = load_table_task(second) if space.kind == "agent" else load_task(second)
    if kind not in ("table", "surrogate", "live"):
        raise ArgumentError(f"unknown kind {kind!r}.{did_you_mean(kind, ('table', 'surrogate', 'live'))}")
    if isinstance(space, JointSpace):
        return _open_joint(space, task, kind)
    if kind == "live":
        from metabench.tables.units import check_trainable

        check_trainable(space, [task])
        return Benchmark(space, task, kind, LiveSource(space, task), {"kind": "live"})
    if kind == "surrogate":
        from metabench.tables.fitted import SurrogateSource, find_surrogate, surrogate_provenance

        place = find_surrogate(space.id, task.id)
        return Benchmark(space, task, kind, SurrogateSource(place, space, task), surrogate_provenance(place))
    table = open_table(find_table(space.id), task.id)
    manifest = table.manifest
    if task.id not in manifest["tasks"] or tuple(manifest["blocks"]) != space.blocks:
        raise TableError(
            f"the table of {space.id!r} covers {', '.join(manifest['tasks'])}, not {task.id!r}; build it with "
            f"'metabench build --space {space.id} --tasks {task.id}'."
        )
    provenance = {
        "kind": "table",
        "sha256": manifest["tasks"][task.id]["sha256"]["results.npy"],
        "command": manifest["command"],
        "protocols": manifest["protocols"],
        "builds": manifest["provenance"],
    }
    return Benchmark(space, task, kind, TableSource(table, task), provenance)


def _open_joint(space: JointSpace, task: Task, kind: str) -> JointBenchmark:
    from metabench.errors import TableError
    from metabench.tables.fitted import find_surrogate, surrogate_provenance
    from metabench.tables.joint_benchmark import JointBenchmark
    from metabench.tables.joint_source import JointLive, JointSurrogate
    from metabench.tables.joint_units import check_conditions, joint_task

    task = joint_task(space, task)
    if kind == "table":
        raise TableError(
            f"space {space.id!r} has no table: its configurations are sampled, not all trained. Open it with "
            "kind='surrogate', or with kind='live' to train."
        )
    if kind == "live":
        check_conditions(space)
        return JointBenchmark(space, task, kind, JointLive(space, task), {"kind": "live"})
    place = find_surrogate(space.id, task.id, instead="kind='live'")
    return JointBenchmark(space, task, kind, JointSurrogate(place, space, task), surrogate_provenance(place))


_LATE = {
    "Benchmark": "benchmark",
    "BuildReport": "build",  # needs torch and Dask
    "ExportReport": "export",
    "FitReport": "fit",
    "JointBenchmark": "joint_benchmark",
    "VerifyReport": "verify",
    "build_table": "build",
    "export_table": "export",
    "fit_table": "fit",
    "measure_costs": "costs",
    "pack_table": "build",
    "verify_table": "verify",
}


def __getattr__(name: str) -> object:
    """Imports a name when it is first asked for."""
    if name not in _LATE:
        raise AttributeError(name)
    import importlib

    return getattr(importlib.import_module(f"metabench.tables.{_LATE[name]}"), name)
