"""Builds a table: trains every architecture that has no finished row yet, on Dask."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metabench.content import identifiers
from metabench.datasets import Task, load_task
from metabench.errors import ArgumentError, TableError
from metabench.spaces import JointSpace, Space, load_space, load_tabular_space
from metabench.tables.agent_task import is_agent_task, load_table_task
from metabench.tables.carry_out import BuildReport, Where, carry_out
from metabench.tables.groups import GROUP_SIZE, training_groups
from metabench.tables.joint_build import build_joint
from metabench.tables.pack import pack_rows
from metabench.tables.shards import finished_keys, table_home
from metabench.tables.units import Unit, check_trainable, row_key, run_unit

__all__ = ["BuildReport", "build_table", "pack_table"]

_GROUP_ON_GPU = 1728  # all three-stage architectures of 12 blocks


def _units(
    space: Space, tasks: Sequence[Task], seeds: int | None, home: Path, about: int, device: str
) -> tuple[list[Unit], int, int]:
    """Units with unfinished rows, and the numbers of unfinished and of all trainings."""
    units: list[Unit] = []
    missing = planned = 0
    for task in tasks:
        replicates = range(task.replicates if seeds is None else seeds)
        finished = finished_keys(home, task.id)
        if is_agent_task(task):
            left_over, count = _agent_units(space, task, replicates, finished)
            units, missing, planned = units + left_over, missing + len(left_over), planned + count
            continue
        for group in training_groups(space, about):
            wanted = {
                architecture: [s for s in replicates if row_key(architecture, task, space.width, s) not in finished]
                for architecture in group
            }
            left = tuple(architecture for architecture, lacking in wanted.items() if lacking)
            if left:
                lacking = tuple(sorted({seed for seeds in wanted.values() for seed in seeds}))
                units.append(Unit(left, task, space.width, lacking, device))
            missing += sum(map(len, wanted.values()))
            planned += len(group) * len(replicates)
    return units, missing, planned


def _agent_units(space: Space, task: Task, replicates: Sequence[int], finished: set[str]) -> tuple[list[Unit], int]:
    """Agents are trained one by one, minutes each; and the number of all.

    The policy's body varies slowest and then the seed, so that a build that is stopped early has whole sets: every
    memory cell with the first body, every seed, and so on.
    """
    codes = space.canonical_codes
    units, bodies = [], len(space.blocks)
    for code in codes[np.argsort(codes % bodies, kind="stable")].reshape(bodies, -1):
        for seed in replicates:
            units += [Unit((space.architecture(int(one)),), task, space.width, (seed,)) for one in code]
    wanted = [
        unit for unit in units if row_key(unit.architectures[0], task, space.width, unit.seeds[0]) not in finished
    ]
    return wanted, len(units)


def _group_size(group: int | None, device: str) -> int:
    """Architectures a training group, after a look at the device."""
    if group is not None and group < 1:
        raise ArgumentError(f"group={group}: expected at least 1.")
    if device != "cpu":
        import torch

        if not device.startswith("cuda"):
            raise ArgumentError(f"device={device!r}: expected 'cpu', 'cuda' or 'cuda:N'.")
        if not torch.cuda.is_available():
            raise ArgumentError(f"device={device!r}: torch finds no CUDA device here; use 'cpu'.")
    return group or (GROUP_SIZE if device == "cpu" else _GROUP_ON_GPU)


def build_table(
    space: str,
    tasks: Sequence[str] | None = None,
    *,
    seeds: int | None = None,
    samples: int | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    queue: str | None = None,
    out: Path | None = None,
    device: str = "cpu",
    group: int | None = None,
    progress: bool = False,
    dry_run: bool = False,
) -> BuildReport:
    """Trains all architectures of a space on the tasks, then packs the table. Finished rows are never trained again.

    Of a joint space the sampled configurations are trained, which surrogates are fitted to, and nothing is packed.

    Args:
        space: id, or path of the user's own definition.
        tasks: ids or paths; all shipped data sets if left out.
        seeds: replicates 0 to ``seeds`` - 1; each task's own number, or of a joint space one, if left out.
        samples: configurations of a joint space; as many as its definition says if left out.
        workers: local single-threaded processes; one a core by default.
        scheduler: address of a Dask scheduler (``tcp://host:8786``) to use instead.
        queue: batch queue whose jobs are the workers instead (``"slurm"``, ...), by dask-jobqueue.
        out: the table's folder; ``surrogates/<space>`` by default.
        device: where workers train, ``"cpu"`` or ``"cuda"``.
        group: architectures trained in one batch, about; 27 by default, and all that share a task on a GPU.
        progress: show a bar on stderr if it is a terminal.
        dry_run: plan only.

    Raises:
        MetabenchError: for a bad argument or definition, or if a training fails; what is finished is kept.
    """
    if (seeds is not None and seeds < 1) or (workers is not None and workers < 1):
        raise ArgumentError(f"seeds={seeds}, workers={workers}: expected at least 1.")
    definition = load_space(space)
    where = Where(workers, scheduler, queue)
    if isinstance(definition, JointSpace):
        if device != "cpu" or group is not None:
            raise ArgumentError(
                f"space {definition.id!r} is trained on the CPU, one by one; leave device and group out."
            )
        return build_joint(
            definition, tasks, where, samples=samples, seeds=seeds, out=out, progress=progress, dry_run=dry_run
        )
    if samples is not None:
        raise ArgumentError(f"samples={samples}: space {definition.id!r} is trained whole; leave it out.")
    about = _group_size(group, device)
    if definition.kind == "agent" and not tasks:
        raise ArgumentError(f"space {definition.id!r} is of agents; name the environment: --tasks grid-navigation-v0.")
    load = load_table_task if definition.kind == "agent" else load_task
    chosen = [load(name) for name in (tasks or identifiers("tasks", of="dataset"))]
    check_trainable(definition, chosen)
    home = table_home(definition.id, out)
    return carry_out(
        lambda: _units(definition, chosen, seeds, home, about, device),
        run_unit,
        where,
        home,
        space=definition.id,
        tasks=tuple(task.id for task in chosen),
        pack=lambda: pack_rows(definition, chosen, seeds, home),
        progress=progress,
        dry_run=dry_run,
    )


def pack_table(space: str, tasks: Sequence[str] | None = None, *, out: Path | None = None) -> Path:
    """Packs the finished rows of a space, of however many seeds there are; unfinished cells stay NaN.

    Args:
        space: id, or path of the user's own definition.
        tasks: ids or paths; all tasks with finished rows if left out (then they must be shipped ones).
        out: the space's folder; ``surrogates/<space>`` by default.

    Returns:
        The folder of the packed table.

    Raises:
        TableError: if there are no finished rows.
    """
    definition = load_tabular_space(space)
    home = table_home(definition.id, out)
    ids = sorted(path.name for path in (home / "shards").glob("*") if path.is_dir())
    chosen = [load_table_task(name) for name in (tasks or ids)]
    if not ids:
        raise TableError(f"{home}: no finished rows to pack; run 'metabench build --space {space}' first.")
    return pack_rows(definition, chosen, None, home)
