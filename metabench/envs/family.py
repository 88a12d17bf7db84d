"""What an environment is here: a family of tasks with batched dynamics, as pure functions of tensors."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, Literal, NamedTuple

import gymnasium
import numpy as np
import torch
from torch import Tensor

from metabench.envs.layout import Layout

__all__ = ["SPLITS", "Split", "TaskFamily", "Transition"]

Split = Literal["all", "train", "held-out"]
SPLITS: tuple[Split, ...] = ("all", "train", "held-out")


class Transition(NamedTuple):
    """One step of every copy. All copies are in step: they begin and end episodes and trials together.

    Attributes:
        obs: what to act upon next, ``(n, ...)``; after an episode's last step, the first one of the next episode.
        reward: ``(n,)`` float32.
        next_obs: what the action led to, before any reset; the same tensor as ``obs`` inside an episode.
        episode_end: this was the last step of an episode.
        trial_end: this was the last step of the trial; ``obs`` already belongs to the next trial, with new tasks.
    """

    obs: Tensor
    reward: Tensor
    next_obs: Tensor
    episode_end: bool
    trial_end: bool


class TaskFamily(ABC):
    """A distribution over tasks (Markov decision processes) that share spaces and horizon.

    Every method is a pure function of batches: row i of each tensor belongs to copy i, and nothing is kept between
    calls. Randomness comes from the generator alone, in draws whose shape does not depend on the actions.

    Attributes:
        id: the name of the dynamics, which also separates the random streams of different families.
        horizon: steps of an episode, H.
        episodes: episodes of a trial, E.
        observation_space: of one copy; float32.
        action_space: of one copy; ``Discrete``, or a ``Box`` whose actions are clipped to its limits.
        task_shape: shape of one task's tensor.
        task_dtype: dtype of a task's tensor.
        layout: the cells of a grid world, to read observations and draw heat maps by; None elsewhere.
        device: where all tensors live.
    """

    id: ClassVar[str]
    horizon: int
    episodes: int
    observation_space: gymnasium.spaces.Box
    action_space: gymnasium.spaces.Discrete | gymnasium.spaces.Box
    task_shape: tuple[int, ...]
    task_dtype: torch.dtype
    layout: Layout | None
    device: torch.device

    @abstractmethod
    def sample_tasks(self, n: int, generator: torch.Generator, split: Split = "all") -> Tensor:
        """Draws ``(n, *task_shape)`` tasks.

        ``train`` and ``held-out`` have no task in common. Where there are finitely many tasks they are a fixed
        partition; else all three splits are the same distribution, and the generator's seed (see
        :func:`task_generator`) keeps them apart.
        """

    @abstractmethod
    def find_fault(self, tasks: Tensor) -> str | None:
        """Says what is wrong with the values of tasks of the right shape and dtype; None if nothing is."""

    @abstractmethod
    def prepare(self, tasks: Tensor) -> Any:
        """What the steps of one trial need of its tasks, computed once a trial: tables, cumulated probabilities, ..."""

    @abstractmethod
    def start(self, prepared: Any, generator: torch.Generator) -> tuple[Any, Tensor]:
        """Begins an episode in every copy.

        Returns:
            The state, a tensor (or tuple of tensors) of first dimension n, and the observations ``(n, ...)``.
        """

    @abstractmethod
    def step(self, prepared: Any, state: Any, action: Tensor, generator: torch.Generator) -> tuple[Any, Tensor, Tensor]:
        """Takes one action in every copy; the given state is left as it is.

        Returns:
            The next state, the observations ``(n, ...)`` and the rewards ``(n,)``, as new tensors.
        """

    @abstractmethod
    def draw(self, task: Tensor, state: Any) -> np.ndarray:
        """One copy's picture, ``(height, width, 3)`` uint8; the arguments have no batch dimension."""
