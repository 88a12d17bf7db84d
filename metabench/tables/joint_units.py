"""The unit of work of a joint space: some sampled configurations on one task, trained one after another."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np

from metabench.blocks import BLOCKS
from metabench.datasets import Task
from metabench.errors import DefinitionError
from metabench.spaces.joint import JointArchitecture, JointSpace
from metabench.tables.shards import Shard, finished_keys
from metabench.tables.units import TRAINER_VERSION, provenance

__all__ = ["JointUnit", "check_conditions", "joint_key", "joint_task", "joint_units", "run_joint_unit"]

_SIZE = 25  # configurations in a unit: about a minute, and all that a killed worker loses


@dataclass(frozen=True)
class JointUnit:
    """Everything a worker needs; definitions travel inside. The task is one of :func:`joint_task`."""

    architectures: tuple[JointArchitecture, ...]
    task: Task
    seeds: tuple[int, ...]


def joint_task(space: JointSpace, task: Task) -> Task:
    """The task as a joint space trains on it: with the space's own batch size."""
    return replace(task, protocol=replace(task.protocol, batch_size=space.sampling.batch_size))


def joint_key(architecture: JointArchitecture, task: Task, seed: int) -> str:
    """The content address of one row, 24 hexadecimal digits: configuration x task x seed x all that decides numbers."""
    from metabench.blocks.solving import VERSION

    protocol = asdict(task.protocol)
    del protocol["learning_rate"]  # the configuration has its own
    text = json.dumps(
        {
            "trainer": [TRAINER_VERSION, VERSION],
            "blocks": [[name, BLOCKS.get(name).version] for name in architecture.blocks],
            "configuration": architecture.as_dict(),
            "data": [task.id, task.dataset, task.parameters, task.splits, task.checksum],
            "protocol": protocol,
            "seed": seed,
        },
        sort_keys=True,
    )
    return hashlib.sha256(text.encode()).hexdigest()[:24]


def check_conditions(space: JointSpace) -> None:
    """Checks that hyperparameters are active where a block heeds them, and nowhere else.

    Raises:
        DefinitionError: naming the hyperparameter and the block.
    """
    heeded = {
        "fixed_point_solver": "solver",
        "fixed_point_adjoint": "adjoint",
        "tolerance": "tolerance",
        "ode_solver": "ode_solver",
        "ode_adjoint": "ode_adjoint",
    }
    for h in space.hyperparameters:
        for block in space.blocks if h.name in heeded else ():
            heeds, listed = heeded[h.name] in BLOCKS.get(block).heeds, block in h.blocks
            if heeds != listed:
                raise DefinitionError(
                    f"space {space.id!r}: {h.name} is {'not ' if heeds else ''}active with block {block!r}, which "
                    f"{'heeds' if heeds else 'does not heed'} it; mend its 'when'."
                )


def _plan(space: JointSpace, samples: int, seeds: int) -> Iterator[tuple[list[int], tuple[int, ...]]]:
    """Sample numbers and seeds of each unit; a unit does not depend on how many there are, but for the last.

    Replicates come as soon as there is a unit of them, so that a build that is stopped early has its share.
    """
    every, more = space.sampling.replicated_every, space.sampling.replicates
    replicated: list[int] = []
    for start in range(0, samples, _SIZE):
        numbers = list(range(start, min(start + _SIZE, samples)))
        yield numbers, tuple(range(seeds))
        replicated += [i for i in numbers if i % every == 0] if more > seeds else []
        if len(replicated) >= _SIZE:
            yield replicated[:_SIZE], tuple(range(seeds, more))
            replicated = replicated[_SIZE:]
    if replicated:
        yield replicated, tuple(range(seeds, more))


def joint_units(
    space: JointSpace, tasks: Sequence[Task], samples: int, seeds: int, home: Path
) -> tuple[list[JointUnit], int, int]:
    """Units with unfinished rows, and the numbers of unfinished and of all trainings.

    Args:
        space: the space.
        tasks: of :func:`joint_task`.
        samples: configurations.
        seeds: of each configuration; replicated ones have as many as the definition says, if that is more.
        home: the space's folder.
    """
    finished = {task.id: finished_keys(home, task.id) for task in tasks}
    architectures = [space.architecture(space.sample(i)) for i in range(samples)]
    units: list[JointUnit] = []
    missing = planned = 0
    for numbers, replicates in _plan(space, samples, seeds):
        for task in tasks:  # they advance together
            wanted = {
                a: [seed for seed in replicates if joint_key(a, task, seed) not in finished[task.id]]
                for a in (architectures[i] for i in numbers)
            }
            left = tuple(a for a, lacking in wanted.items() if lacking)
            if left:
                units.append(JointUnit(left, task, tuple(sorted({s for found in wanted.values() for s in found}))))
            missing += sum(map(len, wanted.values()))
            planned += len(wanted) * len(replicates)
    return units, missing, planned


def run_joint_unit(unit: JointUnit) -> Shard:
    """Trains a unit in this process, on one thread. A shard's architectures are JSON objects."""
    import torch

    from metabench.datasets import load_splits
    from metabench.training import METRICS, Cost
    from metabench.training.joint import measure_joint_cost, train_joint

    torch.set_num_threads(1)
    task, splits = unit.task, load_splits(unit.task)
    curves = [train_joint(a, task, splits, unit.seeds) for a in unit.architectures]
    costs = [measure_joint_cost(a, splits.train_x.shape[1], splits.classes) for a in unit.architectures]
    return Shard(
        task=task.id,
        keys=[[joint_key(a, task, seed) for seed in unit.seeds] for a in unit.architectures],
        architectures=[json.dumps(a.as_dict()) for a in unit.architectures],
        seeds=list(unit.seeds),
        epochs=list(task.epochs),
        metrics=list(METRICS),
        costs=[field.name for field in fields(Cost)],
        values=np.stack([curve.values for curve in curves]),
        seconds=np.stack([curve.seconds for curve in curves]).astype(np.float32),
        cost=np.array([astuple(cost) for cost in costs], dtype=np.float64),
        provenance=provenance(),
    )
