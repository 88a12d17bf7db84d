"""Environments as tasks of a table: what a classifier's table calls an epoch is a frame here."""

from __future__ import annotations

import dataclasses
from typing import Any

from metabench.content import locate, read_toml
from metabench.datasets import Task, load_task
from metabench.datasets.task import Protocol
from metabench.envs.definition import load_environment
from metabench.errors import ArgumentError
from metabench.metarl.settings import Settings

__all__ = ["AGENT_TRAINER_VERSION", "is_agent_task", "load_table_task"]

AGENT_TRAINER_VERSION = 1  # raised when an agent's numerics or a default setting change


def load_table_task(name: str) -> Task:
    """The task of an id or path: a data set, or an environment that says how agents are trained on it.

    An environment's fidelity is frames; its scores are fractions of the reference's best return. All that decides a
    training, the agent's settings too, is among the parameters, so that rows are addressed by it. The three
    splits have one row each: a training of so many frames passes each of them once.

    Raises:
        ContentError: if there is no such task.
        DefinitionError: naming file, line and key.
        ArgumentError: for an environment without ``[training]`` or without a reference.
    """
    if read_toml(locate("tasks", name)).get("kind") != "environment":
        return load_task(name)
    from metabench.metarl.presets import preset

    found = load_environment(name)
    training, reference = found.training, found.reference
    if training is None or reference is None:
        raise ArgumentError(
            f"environment {found.id!r} has no [training] or no [[reference]], so there is no table of agents on it; "
            f"train one with 'metabench explore AGENT --env {found.id}'."
        )
    settings = preset(training.agent, found.id).changed({**training.settings, "frames": training.frames})
    return Task(
        id=found.id,
        description=found.description,
        dataset=found.environment,
        parameters={
            "environment": dict(found.parameters),
            "agent": training.agent,
            "agent_trainer": AGENT_TRAINER_VERSION,
            "settings": _changes(settings),
            "best_return": reference.total(reference.unit),
        },
        splits={"train": 1, "val": 1, "test": 1},
        metric=f"return as a fraction of {reference.unit}",
        protocol=Protocol(
            epochs=training.frames,
            batch_size=settings.copies,
            learning_rate={"default": settings.learning_rate},
            checkpoints=training.checkpoints,
            gradient_clip=settings.max_gradient_norm,
        ),
        replicates=training.replicates,
        reference={policy: reference.total(policy) / reference.total(reference.unit) for policy in reference.returns},
        citation=found.citation,
        history=dict(found.history),
    )


def is_agent_task(task: Task) -> bool:
    """Whether agents are trained on it, not classifiers."""
    return "agent" in task.parameters


def _changes(settings: Settings) -> dict[str, Any]:
    """What differs from the defaults, as JSON has it: a setting that is new, and off, leaves rows as they are.

    Block names come from the architecture, the memory's width from the space.
    """
    usual, values = dataclasses.asdict(Settings()), dataclasses.asdict(settings)
    apart = ("memory_cell", "policy_body", "memory_width")
    return {
        name: list(value) if isinstance(value, tuple) else value
        for name, value in values.items()
        if name not in apart and value != usual[name]
    }
