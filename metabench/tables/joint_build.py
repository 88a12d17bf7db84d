"""Builds the data of a joint space's surrogates: trains sampled configurations that have no finished row yet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from metabench.datasets import load_task
from metabench.errors import ArgumentError
from metabench.spaces.joint import JointSpace
from metabench.tables.carry_out import BuildReport, Where, carry_out
from metabench.tables.joint_units import check_conditions, joint_task, joint_units, run_joint_unit
from metabench.tables.shards import table_home

__all__ = ["build_joint"]


def build_joint(
    space: JointSpace,
    tasks: Sequence[str] | None,
    where: Where,
    *,
    samples: int | None = None,
    seeds: int | None = None,
    out: Path | None = None,
    progress: bool = False,
    dry_run: bool = False,
) -> BuildReport:
    """Trains configurations 0 to ``samples`` - 1 on the tasks. Finished rows are never trained again.

    Args:
        space: the space.
        tasks: ids or paths; those of the definition if left out.
        where: the workers.
        samples: configurations; as many as the definition says if left out.
        seeds: of each configuration; 1 by default. Replicated ones have the definition's number, if that is more.
        out: the space's folder; ``surrogates/<space>`` by default.
        progress: show a bar on stderr if it is a terminal.
        dry_run: plan only.

    Raises:
        MetabenchError: for a bad argument or definition, or if a training fails; what is finished is kept.
    """
    samples = space.sampling.samples if samples is None else samples
    if samples < 1:
        raise ArgumentError(f"samples={samples}: expected at least 1.")
    check_conditions(space)
    chosen = [joint_task(space, load_task(name)) for name in (tasks or space.sampling.tasks)]
    for task in chosen:
        if space.sampling.batch_size > task.splits["train"]:
            raise ArgumentError(
                f"space {space.id!r} has batches of {space.sampling.batch_size}, and {task.id} only "
                f"{task.splits['train']} training rows; choose another task."
            )
    home = table_home(space.id, out)
    return carry_out(
        lambda: joint_units(space, chosen, samples, seeds or 1, home),
        run_joint_unit,
        where,
        home,
        space=space.id,
        tasks=tuple(task.id for task in chosen),
        samples=samples,
        progress=progress,
        dry_run=dry_run,
    )
