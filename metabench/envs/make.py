"""Makes environments by name, for callers and for gymnasium."""

from __future__ import annotations

import inspect
from typing import Any

import gymnasium
import torch

from metabench.envs.definition import FAMILIES, load_environment
from metabench.envs.family import TaskFamily
from metabench.envs.single import TrialEnv
from metabench.envs.trial import TrialVectorEnv
from metabench.errors import ArgumentError
from metabench.registry import did_you_mean

__all__ = ["make_environment", "make_family", "make_single_environment"]


def make_family(name: str, *, device: torch.device | str = "cpu", **parameters: Any) -> TaskFamily:
    """The tasks and dynamics of an environment.

    Args:
        name: id of a shipped environment, with parameters behind a colon if need be (``bandit-v0:pulls=100,arms=10``),
            or the path of the user's own definition.
        device: where its tensors live.
        parameters: in place of the definition's.

    Raises:
        ContentError: if there is no such definition, with the nearest id.
        ArgumentError: for a parameter that the family does not have or take.
    """
    task = load_environment(name, **parameters)
    maker = FAMILIES.get(task.environment)
    known = {key: entry.default for key, entry in inspect.signature(maker).parameters.items() if key != "device"}
    for key, value in task.parameters.items():
        if key not in known:
            raise ArgumentError(
                f"{task.id} has no parameter {key!r}.{did_you_mean(key, known)} Known: {', '.join(known)}."
            )
        _check_number(task.id, key, value, known[key])
    return maker(device=device, **task.parameters)


def _check_number(task: str, key: str, value: Any, default: Any) -> None:
    """Raises where a family's parameter is a number by its default and the value given is not."""
    wanted = {int: (int,), float: (int, float)}.get(type(default))
    if wanted and (isinstance(value, bool) or not isinstance(value, wanted)):
        words = "a whole number" if wanted == (int,) else "a number"
        raise ArgumentError(f"{task}: parameter {key!r} is {value!r}; expected {words}.")


def make_environment(
    name: str,
    num_envs: int = 1,
    *,
    split: str = "all",
    seed: int = 0,
    device: torch.device | str = "cpu",
    render_mode: str | None = None,
    **parameters: Any,
) -> TrialVectorEnv:
    """Many copies of an environment; see :class:`TrialVectorEnv` and :func:`make_family` for the arguments.

    Example:
        >>> env = make_environment("grid-navigation-v0", 1024)
        >>> obs = env.reset_tensor(seed=0)
        >>> env.step_tensor(torch.ones(1024, dtype=torch.int64)).reward.shape
        torch.Size([1024])
    """
    family = make_family(name, device=device, **parameters)
    return TrialVectorEnv(family, num_envs, split=split, seed=seed, render_mode=render_mode)


def make_single_environment(
    name: str, *, split: str = "all", seed: int = 0, render_mode: str | None = None, **parameters: Any
) -> gymnasium.Env:
    """One copy as an ordinary gymnasium environment, an episode of which is a trial."""
    return TrialEnv(make_environment(name, 1, split=split, seed=seed, render_mode=render_mode, **parameters))
