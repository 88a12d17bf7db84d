"""The environment that a run names: a shipped one, the user's own definition, or what the user's own function makes."""

from __future__ import annotations

import importlib
import re

from gymnasium.vector import VectorEnv

from metabench.envs import Reference, TrialVectorEnv, adapt_environment, load_environment, make_environment
from metabench.envs.adapter import AdaptedVectorEnv
from metabench.errors import ArgumentError

__all__ = ["Environment", "find_reference", "open_environment", "use_split"]

Environment = TrialVectorEnv | AdaptedVectorEnv

_FUNCTION = re.compile(r"[A-Za-z_][\w.]*:[A-Za-z_]\w*")


def open_environment(name: str, copies: int, split: str) -> Environment:
    """Makes the environment.

    Args:
        name: id (``bandit-v0:pulls=100,arms=10``), path of a definition, or ``package.module:function`` of the user's:
            ``function(num_envs)`` gives a vector environment with the task interface (see
            ``metabench.testing.check_environment``).
        copies: in one batch.
        split: of tasks.

    Raises:
        ContentError: if there is no such definition, with the nearest id.
        ArgumentError: if the function is not there, or what it makes lacks a part of the task interface.
    """
    if not _FUNCTION.fullmatch(name):
        return make_environment(name, copies, split=split)
    module, _, function = name.partition(":")
    try:
        make = getattr(importlib.import_module(module), function)
    except (ImportError, AttributeError) as error:
        raise ArgumentError(f"environment {name!r}: {error}; expected an id or package.module:function.") from error
    env = make(copies)
    if not isinstance(env, VectorEnv):
        raise ArgumentError(f"environment {name!r} made a {type(env).__name__}; expected a gymnasium VectorEnv.")
    return adapt_environment(env)


def find_reference(name: str) -> Reference | None:
    """What reference policies score there; None where that is not known.

    Raises:
        ContentError: if there is no such definition.
    """
    return None if _FUNCTION.fullmatch(name) else load_environment(name).reference


def use_split(env: Environment, split: str, seed: int) -> None:
    """Fixes the tasks of the next trials, where the environment does not draw them from a split by itself."""
    if isinstance(env, AdaptedVectorEnv):
        env.set_task(env.sample_tasks(env.num_envs, seed % 2**31, split))
