"""A joint space's finished trainings, and its configurations, as a surrogate sees them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from metabench.datasets.task import Task, load_task
from metabench.errors import MetabenchError, TableError
from metabench.spaces.architecture import SKIP
from metabench.spaces.joint import JointSpace
from metabench.surrogate import Measurements
from metabench.tables.fitted import METRICS
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS
from metabench.tables.shards import Shard, read_shards, table_home

__all__ = ["hyperparameter_names", "joint_measurements", "open_joint", "stage_blocks", "surrogate_inputs"]


def stage_blocks(space: JointSpace) -> tuple[str, ...]:
    """What a stage may hold for a surrogate: a network of fewer stages has skips behind them."""
    return (SKIP, *space.blocks)


def hyperparameter_names(space: JointSpace) -> tuple[str, ...]:
    """The columns of :func:`surrogate_inputs`: one a number, one a level of a choice (``"ode_solver=rk4"``)."""
    return tuple(
        name
        for h in space.hyperparameters
        for name in ([f"{h.name}={level}" for level in h.levels] if h.kind == "choice" else [h.name])
    )


def surrogate_inputs(space: JointSpace, codes: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """What a surrogate is told of configurations.

    Args:
        space: the space.
        codes: integer codes, ``(n,)``.

    Returns:
        Blocks as indices into :func:`stage_blocks` ``(n, stages)``; hyperparameters ``(n, columns)``: a number's place
        in its range, from 0 to 1, NaN where it is inactive, and 1 for the level of a choice, else 0; widths ``(n,)``.
    """
    places = space.places(codes)
    active, first = space.active(places), 1 + space.stages
    digits = np.where(active[:, 1:first], places[:, 1:first] + 1, 0)
    columns, widths = [], np.empty(len(codes))
    for i, h in enumerate(space.hyperparameters):
        place, on = places[:, first + i], active[:, first + i]
        if h.kind == "choice":
            columns += [(on & (place == level)).astype(np.float64) for level in range(len(h.levels))]
        else:
            columns.append(np.where(on, h.positions[place], np.nan))
        if h.name == "width":
            widths = np.array(h.levels, dtype=np.float64)[place]
    return digits, np.stack(columns, axis=1), widths


def _rows(
    space: JointSpace, task: Task, shards: Sequence[Shard]
) -> dict[int, dict[int, tuple[np.ndarray, np.ndarray]]]:
    """Code -> seed -> results with seconds ``(epochs, metrics)`` and costs, of rows that are not stale."""
    from metabench.tables.joint_units import joint_key

    found: dict[int, dict[int, tuple[np.ndarray, np.ndarray]]] = {}
    for shard in shards:
        if (shard.metrics, shard.costs) != (list(TRAINING_METRICS), list(ARCHITECTURE_METRICS)):
            raise TableError(f"{task.id}: a shard's axes are not this version's; delete the shards and build again.")
        for i, text in enumerate(shard.architectures):
            try:
                code = space.code(json.loads(text))
            except (MetabenchError, ValueError):  # of another version of the space
                continue
            architecture = space.architecture(code)
            for j, seed in enumerate(shard.seeds):
                if shard.keys[i][j] == joint_key(architecture, task, seed):
                    values = np.concatenate([shard.values[i, j], shard.seconds[i, j, :, None]], axis=-1)
                    found.setdefault(code, {})[seed] = values, shard.cost[i]
    return found


def joint_measurements(space: JointSpace, task: Task, home: Path) -> tuple[np.ndarray, Measurements]:
    """The finished trainings of one task, whatever is still missing.

    A row whose protocol is no longer the task's or the blocks' is stale, and left out.

    Args:
        space: the space.
        task: of :func:`metabench.tables.joint_units.joint_task`.
        home: the space's folder.

    Returns:
        Codes, ascending ``(n,)``, and what they measured.

    Raises:
        TableError: if there is none, or a file is damaged.
    """
    rows = _rows(space, task, list(read_shards(home, task.id)))
    if not rows:
        raise TableError(
            f"{home}: no finished training of {task.id}; run 'metabench build --space {space.id} --tasks {task.id}'."
        )
    codes = np.array(sorted(rows), dtype=np.int64)
    seeds = 1 + max(seed for by_seed in rows.values() for seed in by_seed)
    values = np.full((len(codes), seeds, len(task.epochs), len(METRICS)), np.nan)
    costs = np.full((len(codes), len(ARCHITECTURE_METRICS)), np.nan)
    for i, code in enumerate(codes.tolist()):
        for seed, (numbers, cost) in rows[code].items():
            values[i, seed], costs[i] = numbers, cost
    digits, hyperparameters, widths = surrogate_inputs(space, codes)
    measured = Measurements(
        blocks=stage_blocks(space),
        digits=digits,
        epochs=task.epochs,
        metrics=METRICS,
        values=values,
        cost_names=ARCHITECTURE_METRICS,
        costs=costs,
        hyperparameter_names=hyperparameter_names(space),
        hyperparameters=hyperparameters,
        widths=widths,
    )
    return codes, measured


def open_joint(
    space: JointSpace, tasks: Sequence[str] | None = None, *, out: Path | None = None
) -> dict[str, tuple[np.ndarray, Measurements]]:
    """Codes and measurements of each task.

    Args:
        space: the space.
        tasks: ids or paths; those of the definition if left out.
        out: the space's folder; ``surrogates/<space>`` by default.
    """
    from metabench.tables.joint_units import joint_task

    home = table_home(space.id, out)
    chosen = [joint_task(space, load_task(name)) for name in (tasks or space.sampling.tasks)]
    return {task.id: joint_measurements(space, task, home) for task in chosen}
