"""What every agent is: it acts from a carry, learns from rollouts, and can be stopped and resumed to the bit."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any, ClassVar, NamedTuple

import torch
from torch import Tensor

from metabench.envs import Transition
from metabench.metarl.problem import Problem, Trajectories
from metabench.metarl.settings import Settings

__all__ = ["Agent", "Carry", "Decision", "Rollout"]


class Carry(NamedTuple):
    """What an agent carries from step to step of a trial.

    Attributes:
        memory: recurrent state, ``(copies, width)``.
        context: what its policy sees besides the observation, ``(copies, features)``: a belief, or the last transition.
    """

    memory: Tensor
    context: Tensor


class Decision(NamedTuple):
    """What an agent does in each copy.

    Attributes:
        action: ``(copies, ...)``.
        log_prob: its log-probability, ``(copies,)``.
        value: of the state, ``(copies,)``.
    """

    action: Tensor
    log_prob: Tensor
    value: Tensor


class Rollout(NamedTuple):
    """One whole trial of every copy.

    Attributes:
        trajectories: the transitions, ``(steps, copies, ...)``.
        log_prob: of the actions when they were taken, ``(steps, copies)``.
        value: of the states acted in, ``(steps, copies)``.
        contexts: the carry's context before each step and after the last, ``(steps + 1, copies, features)``.
    """

    trajectories: Trajectories
    log_prob: Tensor
    value: Tensor
    contexts: Tensor


class Agent(ABC):
    """A meta-RL agent, made as ``cls(problem, settings, seed)``. It draws from its own generator only.

    Attributes:
        problem: what it was told about the environment.
        settings: its settings.
        citation: where it comes from.
    """

    citation: ClassVar[str]
    problem: Problem
    settings: Settings

    @abstractmethod
    def __init__(self, problem: Problem, settings: Settings, seed: int) -> None: ...

    @abstractmethod
    def begin(self, copies: int) -> Carry:
        """The carry at a trial's start."""

    @abstractmethod
    def act(self, carry: Carry, obs: Tensor, generator: torch.Generator | None) -> tuple[Decision, Carry]:
        """Acts on observations ``(copies, ...)``: draws from ``generator``, or is greedy without one."""

    @abstractmethod
    def observe(self, carry: Carry, action: Tensor, transition: Transition) -> Carry:
        """Takes in what an action led to."""

    @abstractmethod
    def update(self, rollout: Rollout, frames: int) -> dict[str, float]:
        """Learns from a rollout that began after ``frames`` environment steps; gives what is worth logging."""

    @property
    @abstractmethod
    def generator(self) -> torch.Generator:
        """The agent's source of randomness."""

    @abstractmethod
    def state_dict(self) -> dict[str, Any]:
        """All that a resumed run needs: nested dicts and lists of tensors, numbers and strings."""

    @abstractmethod
    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restores :meth:`state_dict`."""
