"""Trials of E episodes in one task, as a gymnasium vector environment over a family's batched dynamics."""

from __future__ import annotations

from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from metabench.envs.family import SPLITS, Split, TaskFamily, Transition
from metabench.envs.sampling import task_generator
from metabench.errors import ArgumentError, ResetNeededError
from metabench.registry import did_you_mean

__all__ = ["TrialVectorEnv", "check_split"]


def check_split(split: str) -> Split:
    """Returns the split if there is one of that name.

    Raises:
        ArgumentError: with the nearest name.
    """
    for known in SPLITS:
        if split == known:
            return known
    raise ArgumentError(f"unknown split {split!r}.{did_you_mean(split, SPLITS)} Known: {', '.join(SPLITS)}.")


class TrialVectorEnv(VectorEnv):
    """Many copies of a family's environment, each in a task of its own, all in step.

    A trial is ``episodes`` x ``horizon`` transitions in one task. An episode's end resets the state and keeps the task;
    the trial's end, the only truncation, draws new tasks in the same step (``AutoresetMode.SAME_STEP``). Nothing
    terminates.

    :meth:`step` is gymnasium's: NumPy in and out, arguments checked. :meth:`step_tensor` is the fast path: tensors in
    and out, nothing checked, no copy to the host.

    Args:
        family: tasks and dynamics.
        num_envs: copies.
        split: where tasks are drawn from: ``all``, ``train`` or ``held-out``.
        seed: of tasks and dynamics, until ``reset`` is given another one. The same seed gives the same trials.
        render_mode: None or ``rgb_array``.
    """

    metadata: ClassVar[dict[str, Any]] = {  # type: ignore[misc]
        "autoreset_mode": AutoresetMode.SAME_STEP,
        "render_modes": ["rgb_array"],
        "render_fps": 5,
    }

    def __init__(
        self,
        family: TaskFamily,
        num_envs: int = 1,
        *,
        split: str = "all",
        seed: int = 0,
        render_mode: str | None = None,
    ) -> None:
        if num_envs < 1:
            raise ArgumentError(f"num_envs={num_envs}: expected at least 1.")
        if render_mode not in (None, "rgb_array"):
            raise ArgumentError(f"unknown render_mode {render_mode!r}; expected None or 'rgb_array'.")
        self.family, self.num_envs, self.episodes, self.horizon = family, num_envs, family.episodes, family.horizon
        self.split: Split = check_split(split)
        self.render_mode, self.device = render_mode, family.device
        self.single_observation_space, self.single_action_space = family.observation_space, family.action_space
        self.observation_space = batch_space(family.observation_space, num_envs)
        self.action_space = batch_space(family.action_space, num_envs)
        self._chosen: Tensor | None = None
        self._tasks: Tensor | None = None
        self._clock = 0
        self._seed(seed)

    @property
    def steps(self) -> int:
        """Transitions of a trial, E * H."""
        return self.episodes * self.horizon

    @property
    def episode(self) -> int:
        """The episode that the next step belongs to, from 0."""
        return self._clock // self.horizon

    @property
    def episode_step(self) -> int:
        """Steps taken in this episode."""
        return self._clock % self.horizon

    @property
    def tasks(self) -> Tensor:
        """The tasks of the running trial, ``(num_envs, *task_shape)``. For oracles and analysis, not for agents."""
        return self._running()

    @property
    def state(self) -> Any:
        """The family's state. For oracles and analysis, not for agents."""
        self._running()
        return self._state

    def sample_tasks(self, n: int, seed: int, split: str | None = None) -> Tensor:
        """Draws ``(n, *task_shape)`` tasks of a split (this environment's if None); the environment does not change."""
        chosen = self.split if split is None else check_split(split)
        generator = task_generator(self.family.id, chosen, seed, "sample", self.device)
        return self.family.sample_tasks(n, generator, chosen)

    def set_task(self, tasks: Tensor | np.ndarray | None) -> None:
        """Fixes the tasks of all trials from the next one on (the next ``reset`` or autoreset); None draws them again.

        Args:
            tasks: ``(num_envs, *task_shape)``.

        Raises:
            ArgumentError: if the tasks have the wrong shape, kind or values.
        """
        self._chosen = None if tasks is None else self._checked_tasks(tasks)

    def reset_tensor(self, *, seed: int | None = None) -> Tensor:
        """Begins a new trial in every copy and gives the first observations ``(num_envs, ...)``."""
        if seed is not None:
            self._seed(seed)
        return self._begin_trial()

    def step_tensor(self, action: Tensor) -> Transition:
        """Takes one step; fast and unchecked.

        Args:
            action: ``(num_envs,)`` int64 within the action space, or ``(num_envs, k)`` float32, clipped to it.
        """
        self._running()
        self._state, next_obs, reward = self.family.step(self._prepared, self._state, action, self._generator)
        self._clock += 1
        if self._clock % self.horizon:
            return Transition(next_obs, reward, next_obs, False, False)
        if self._clock < self.steps:
            self._state, obs = self.family.start(self._prepared, self._generator)
            return Transition(obs, reward, next_obs, True, False)
        return Transition(self._begin_trial(), reward, next_obs, True, True)

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[np.ndarray, dict[str, Any]]:
        """Begins a new trial in every copy; without a seed, the random stream goes on.

        Args:
            seed: of tasks and dynamics.
            options: None, or ``{"tasks": tasks}``, which is :meth:`set_task` first.
        """
        super().reset(seed=seed)
        unknown = sorted({*(options or {})} - {"tasks"})
        if unknown:
            raise ArgumentError(
                f"unknown reset option {unknown[0]!r}; expected 'tasks'. All copies are reset together."
            )
        if options:
            self.set_task(options["tasks"])
        return self.reset_tensor(seed=seed).cpu().numpy(), {}

    def step(self, actions: Any) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """Takes one step.

        Returns:
            Observations, rewards, terminations (all False), truncations (True at the trial's end) and ``info``:
            ``next_obs`` (what the actions led to, before any reset), ``episode_end`` (bool), ``episode_index`` and
            ``episode_step`` (of the transition just made, from 0), and at the trial's end gymnasium's ``final_obs``
            and ``_final_obs``.

        Raises:
            ArgumentError: if the actions have the wrong shape or kind, or are out of range.
            ResetNeededError: before the first ``reset``.
        """
        self._running()
        place = self.episode, self.episode_step
        transition = self.step_tensor(self._checked_actions(actions))
        next_obs = transition.next_obs.cpu().numpy()
        info: dict[str, Any] = {
            "next_obs": next_obs,
            "episode_end": np.full(self.num_envs, transition.episode_end),
            "episode_index": np.full(self.num_envs, place[0]),
            "episode_step": np.full(self.num_envs, place[1]),
        }
        if transition.trial_end:
            info["final_obs"] = np.fromiter(next_obs, dtype=object, count=self.num_envs)
            info["_final_obs"] = np.ones(self.num_envs, dtype=np.bool_)
        return (
            transition.obs.cpu().numpy(),
            transition.reward.cpu().numpy(),
            np.zeros(self.num_envs, dtype=np.bool_),
            np.full(self.num_envs, transition.trial_end),
            info,
        )

    def render(self) -> tuple[np.ndarray, ...] | None:  # type: ignore[override]
        """One RGB frame ``(height, width, 3)`` uint8 for each copy, in render mode ``rgb_array``."""
        if self.render_mode is None:
            return None
        tasks = self._running()
        return tuple(self.family.draw(tasks[i], _row(self._state, i)) for i in range(self.num_envs))

    def state_dict(self) -> dict[str, Any]:
        """Everything a resumed run needs to go on bit for bit: tensors, integers and None only."""
        return {
            "clock": self._clock,
            "tasks": self._tasks,
            "chosen": self._chosen,
            "state": None if self._tasks is None else self._state,
            "generator": self._generator.get_state(),
            "task_generator": self._task_generator.get_state(),
        }

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Goes on from what :meth:`state_dict` gave, in an environment made with the same arguments."""
        self._clock, self._tasks, self._chosen = saved["clock"], saved["tasks"], saved["chosen"]
        if self._tasks is not None:
            self._prepared, self._state = self.family.prepare(self._tasks), saved["state"]
        self._generator.set_state(saved["generator"])
        self._task_generator.set_state(saved["task_generator"])

    def _seed(self, seed: int) -> None:
        # Tasks have a stream of their own, so that the k-th trial has the same tasks whatever the dynamics drew before.
        self._task_generator = task_generator(self.family.id, self.split, seed, "tasks", self.device)
        self._generator = task_generator(self.family.id, self.split, seed, "dynamics", self.device)

    def _begin_trial(self) -> Tensor:
        chosen = self._chosen
        if chosen is None:
            chosen = self.family.sample_tasks(self.num_envs, self._task_generator, self.split)
        self._tasks, self._clock = chosen, 0
        self._prepared = self.family.prepare(chosen)
        self._state, obs = self.family.start(self._prepared, self._generator)
        return obs

    def _running(self) -> Tensor:
        if self._tasks is None:
            raise ResetNeededError("no trial is running; call reset() first.")
        return self._tasks

    def _checked_tasks(self, tasks: Tensor | np.ndarray) -> Tensor:
        tensor = torch.as_tensor(tasks, device=self.device)
        expected = (self.num_envs, *self.family.task_shape)
        if tuple(tensor.shape) != expected:
            raise ArgumentError(
                f"tasks of shape {tuple(tensor.shape)}; expected {expected}, one task for each of the copies."
            )
        if tensor.dtype.is_floating_point != self.family.task_dtype.is_floating_point:
            raise ArgumentError(f"tasks of dtype {tensor.dtype}; expected {self.family.task_dtype}.")
        tensor = tensor.to(self.family.task_dtype)
        fault = self.family.find_fault(tensor)
        if fault:
            raise ArgumentError(f"tasks that {self.family.id} does not have: {fault}.")
        return tensor.clone()

    def _checked_actions(self, actions: Any) -> Tensor:
        array = np.asarray(actions)
        space = self.family.action_space
        shape = (self.num_envs, *(space.shape or ()))
        if array.shape != shape:
            raise ArgumentError(f"actions of shape {array.shape}; expected {shape}.")
        if isinstance(space, spaces.Discrete):
            if not np.issubdtype(array.dtype, np.integer):
                raise ArgumentError(f"actions of dtype {array.dtype}; expected whole numbers.")
            if array.min() < 0 or array.max() >= space.n:
                raise ArgumentError(f"actions from {array.min()} to {array.max()}; expected 0 to {space.n - 1}.")
            return torch.as_tensor(array.astype(np.int64), device=self.device)
        array = array.astype(np.float32)
        if not (np.all(array >= space.low) and np.all(array <= space.high)):  # written so that NaN is refused
            raise ArgumentError(
                f"actions outside [{space.low.min()}, {space.high.max()}], or not numbers; clip them first."
            )
        return torch.as_tensor(array, device=self.device)


def _row(state: Any, i: int) -> Any:
    return tuple(part[i] for part in state) if isinstance(state, tuple) else state[i]
