"""Batched meta-reinforcement-learning environments with explicit tasks, exact trials and known optima.

Importing this registers them with gymnasium: ``gymnasium.make_vec("metabench/GridNavigation-v0", num_envs=1024)``.
Torch is imported when an environment is made. Plug-ins: entry points ``metabench.envs``.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from metabench.envs.registration import GYMNASIUM_IDS, register

if TYPE_CHECKING:
    from metabench.envs.adapter import adapt_environment
    from metabench.envs.definition import (
        FAMILIES,
        EnvironmentTask,
        Reference,
        environment_identifiers,
        load_environment,
    )
    from metabench.envs.family import TaskFamily, Transition
    from metabench.envs.layout import Layout
    from metabench.envs.make import make_environment, make_family
    from metabench.envs.pictures import draw_trajectory, record_trajectory
    from metabench.envs.single import TrialEnv
    from metabench.envs.trial import TrialVectorEnv

__all__ = [
    "FAMILIES",
    "GYMNASIUM_IDS",
    "EnvironmentTask",
    "Layout",
    "Reference",
    "TaskFamily",
    "Transition",
    "TrialEnv",
    "TrialVectorEnv",
    "adapt_environment",
    "draw_trajectory",
    "environment_identifiers",
    "load_environment",
    "make_environment",
    "make_family",
    "record_trajectory",
]

_LAZY = {
    "FAMILIES": "definition",
    "EnvironmentTask": "definition",
    "Layout": "layout",
    "Reference": "definition",
    "TaskFamily": "family",
    "Transition": "family",
    "TrialEnv": "single",
    "TrialVectorEnv": "trial",
    "adapt_environment": "adapter",
    "draw_trajectory": "pictures",
    "environment_identifiers": "definition",
    "load_environment": "definition",
    "make_environment": "make",
    "make_family": "make",
    "record_trajectory": "pictures",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))


register()
