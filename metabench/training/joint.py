"""Trains and costs one configuration of a joint space, by the same trainer as a table's architectures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields, replace

from metabench.blocks.solving import SolveSettings
from metabench.datasets import Splits, Task
from metabench.spaces.joint import JointArchitecture
from metabench.training.cost import Cost, measure_cost
from metabench.training.train import TrainingCurve, train_group

__all__ = ["measure_joint_cost", "solve_settings", "train_joint"]

_OWN = ("blocks", "width", "learning_rate", "weight_decay")  # the other fields say how blocks are solved


def solve_settings(architecture: JointArchitecture) -> SolveSettings:
    """How the configuration's implicit blocks are solved."""
    names = [field.name for field in fields(architecture) if field.name not in _OWN]
    return SolveSettings.named(**{name: getattr(architecture, name) for name in names})


def train_joint(architecture: JointArchitecture, task: Task, splits: Splits, seeds: Sequence[int]) -> TrainingCurve:
    """Trains a configuration by the task's protocol, but for what is its own: learning rate and weight decay.

    The decay is decoupled (AdamW). All else is as in :func:`~metabench.training.train_group`.

    Args:
        architecture: the configuration.
        task: its protocol is followed.
        splits: the task's arrays.
        seeds: replicate numbers, trained in one batch.

    Reference: Loshchilov and Hutter (2019), Decoupled weight decay regularization, arXiv:1711.05101.
    """
    protocol = replace(task.protocol, learning_rate={"default": architecture.learning_rate})
    (curve,) = train_group(
        [architecture.network],
        replace(task, protocol=protocol),
        splits,
        architecture.width,
        seeds,
        weight_decay=architecture.weight_decay,
        settings=solve_settings(architecture),
    )
    return curve


def measure_joint_cost(architecture: JointArchitecture, inputs: int, outputs: int) -> Cost:
    """Counts and times a configuration; see :func:`~metabench.training.measure_cost`."""
    return measure_cost(architecture.network, inputs, outputs, architecture.width, solve_settings(architecture))
