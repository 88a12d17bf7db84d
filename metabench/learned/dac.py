"""Dynamic algorithm configuration: learning rate and momentum of SGD, chosen at every step, as a gymnasium environment.

Observation, action and reward are those of the toy-SGD benchmark of DACBench (Eimer et al. 2021, arXiv:2105.08541); the
objectives are this package's problems, parabolas among them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Literal

import gymnasium
import numpy as np
import torch
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from torch import Tensor

from metabench.errors import ArgumentError, ResetNeededError
from metabench.problems import Parabola, Parameters, Problem
from metabench.seeding import derive

__all__ = ["SGDControl", "SGDControlVector", "log_regret"]

GradientView = Literal["full", "rms"]

_LOWEST, _HIGHEST = -10.0, 0.0  # log10 of the learning rate and of the momentum
_SMALLEST, _LARGEST = 1e-10, 1e10  # regret that still counts


def log_regret(loss: Tensor, minimum: Tensor) -> Tensor:
    """ln(f - f*), the regret held between 1e-10 and 1e10; what is not finite counts as 1e10."""
    regret = torch.nan_to_num((loss - minimum).abs(), nan=_LARGEST, posinf=_LARGEST, neginf=_LARGEST)
    return regret.clamp(_SMALLEST, _LARGEST).log()


class _Descent:
    """SGD with momentum on a batch of instances: v <- momentum v + rate g, x <- x - v."""

    def __init__(self, problem: Problem, steps: int, view: GradientView) -> None:
        if steps < 1:
            raise ArgumentError(f"steps={steps}: expected at least 1.")
        if view not in ("full", "rms"):
            raise ArgumentError(f"gradient={view!r}: expected 'full' or 'rms'.")
        self.problem, self.steps, self.view = problem, steps, view
        self.taken = -1  # before the first reset
        size = sum(value[0].numel() for value in problem.sample([0]).values()) if view == "full" else 1
        self.observation_space = spaces.Dict(
            {
                "remaining_budget": spaces.Box(0, np.inf, (1,), np.float32),
                "gradient": spaces.Box(-np.inf, np.inf, (size,), np.float32),
                "learning_rate": spaces.Box(0, 1, (1,), np.float32),
                "momentum": spaces.Box(0, 1, (1,), np.float32),
            }
        )
        self.action_space = spaces.Box(_LOWEST, _HIGHEST, (2,), np.float32)

    def reset(self, seeds: Sequence[int]) -> dict[str, np.ndarray]:
        self.seeds, self.taken = tuple(seeds), 0
        self.parameters: Parameters = self.problem.sample(seeds)
        self.velocity = {name: torch.zeros_like(value) for name, value in self.parameters.items()}
        self.minimum = self.problem.minimum(seeds)
        self.rates = torch.zeros(len(seeds), 2, dtype=torch.float64)
        self.loss, self.gradient = self._slope()
        return self.observation()

    def _slope(self) -> tuple[Tensor, Parameters]:
        leaves = {name: value.detach().requires_grad_() for name, value in self.parameters.items()}
        loss = self.problem.loss(leaves, self.problem.batch(self.seeds, self.taken))
        slopes = torch.autograd.grad(loss.sum(), list(leaves.values()))
        return loss.detach(), dict(zip(leaves, slopes, strict=True))

    def step(self, actions: np.ndarray) -> tuple[dict[str, np.ndarray], np.ndarray]:
        """One step of every instance; observations and rewards ``(instances,)``."""
        if not 0 <= self.taken < self.steps:
            raise ResetNeededError("the episode has not begun, or is over: call reset first.")
        actions = np.asarray(actions, dtype=np.float64)
        if actions.shape != (len(self.seeds), 2) or not np.isfinite(actions).all():
            raise ArgumentError(
                f"actions of shape {actions.shape}: expected finite ({len(self.seeds)}, 2), log10 of rate and momentum."
            )
        self.rates = torch.from_numpy(10.0 ** actions.clip(_LOWEST, _HIGHEST))
        for name, value in self.parameters.items():
            rates = self.rates.to(value.dtype).unbind(1)
            rate, momentum = (column.view(-1, *[1] * (value.ndim - 1)) for column in rates)
            self.velocity[name] = momentum * self.velocity[name] + rate * self.gradient[name]
            self.parameters[name] = value - self.velocity[name]
        self.taken += 1
        self.loss, self.gradient = self._slope()
        return self.observation(), -log_regret(self.loss, self.minimum).double().numpy()

    def observation(self) -> dict[str, np.ndarray]:
        flat = torch.cat([g.flatten(1) for g in self.gradient.values()], dim=1)
        if self.view == "rms":
            flat = flat.square().mean(1, keepdim=True).sqrt()
        largest = float(np.finfo(np.float32).max)
        left = torch.full((len(self.seeds), 1), float(self.steps - self.taken))
        return {
            "remaining_budget": left.numpy(),
            "gradient": torch.nan_to_num(flat, nan=0.0).clamp(-largest, largest).float().numpy(),
            "learning_rate": self.rates[:, :1].float().numpy(),
            "momentum": self.rates[:, 1:].float().numpy(),
        }


class SGDControl(gymnasium.Env[Any, np.ndarray]):
    """Chooses learning rate and momentum of SGD at every step.

    Observation: steps left, gradient, and the rate and momentum of the last step (0 before the first). Action: log10 of
    rate and momentum, each in [-10, 0]. Reward: -ln of the regret after the step. An episode is truncated after
    ``steps`` steps; each reset draws another instance.

    Args:
        problem: the objective; parabolas, as in the original, if left out.
        steps: length of an episode; the original's is 10.
        gradient: ``full`` shows every entry, as the original does; ``rms`` shows their root mean square, so that a
            policy fits problems of any size.
    """

    metadata = {"render_modes": []}  # noqa: RUF012 (gymnasium's own type)

    def __init__(self, problem: Problem | None = None, *, steps: int = 10, gradient: GradientView = "full") -> None:
        self._descent = _Descent(Parabola() if problem is None else problem, steps, gradient)
        self.observation_space = self._descent.observation_space
        self.action_space = self._descent.action_space

    def reset(
        self, *, seed: int | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """A new instance; the seed names it, and those of later resets follow from it."""
        super().reset(seed=seed)
        instance = int(self.np_random.integers(2**62))
        return _first(self._descent.reset([instance])), {"instance": instance}

    def step(self, action: np.ndarray) -> tuple[dict[str, np.ndarray], float, bool, bool, dict[str, Any]]:
        """One step of SGD."""
        observation, reward = self._descent.step(np.asarray(action)[None])
        over = self._descent.taken >= self._descent.steps
        return _first(observation), float(reward[0]), False, over, {"loss": float(self._descent.loss[0])}


def _first(batch: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    return {name: value[0] for name, value in batch.items()}


class SGDControlVector(VectorEnv[dict[str, np.ndarray], np.ndarray, np.ndarray]):
    """Many instances of :class:`SGDControl` in one batch of tensors; all episodes end, and begin again, together.

    Args:
        problem: the objective; parabolas if left out.
        num_envs: instances.
        steps: length of an episode.
        gradient: as in :class:`SGDControl`.
    """

    metadata = {"autoreset_mode": AutoresetMode.SAME_STEP}  # noqa: RUF012 (gymnasium's own type)

    def __init__(
        self,
        problem: Problem | None = None,
        *,
        num_envs: int = 64,
        steps: int = 10,
        gradient: GradientView = "full",
    ) -> None:
        if num_envs < 1:
            raise ArgumentError(f"num_envs={num_envs}: expected at least 1.")
        self._descent = _Descent(Parabola() if problem is None else problem, steps, gradient)
        self.num_envs, self.episode, self._seed = num_envs, 0, 0
        self.single_observation_space = self._descent.observation_space
        self.single_action_space = self._descent.action_space
        self.observation_space = batch_space(self.single_observation_space, num_envs)
        self.action_space = batch_space(self.single_action_space, num_envs)

    def reset(
        self, *, seed: int | list[int | None] | None = None, options: dict[str, Any] | None = None
    ) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """New instances, named by the seed, the episode and their place."""
        if isinstance(seed, list):
            raise ArgumentError("seed is a list: expected one number; the instances' seeds are derived from it.")
        super().reset(seed=seed)
        if seed is not None:
            self._seed, self.episode = seed, 0
        else:
            self.episode += 1
        return self._begin(), {}

    def _begin(self) -> dict[str, np.ndarray]:
        return self._descent.reset([derive("dac", self._seed, self.episode, i) for i in range(self.num_envs)])

    def step(
        self, actions: np.ndarray
    ) -> tuple[dict[str, np.ndarray], np.ndarray, np.ndarray, np.ndarray, dict[str, Any]]:
        """One step of SGD everywhere; after an episode's last one the observation is the next episode's first."""
        observation, rewards = self._descent.step(actions)
        over = self._descent.taken >= self._descent.steps
        info: dict[str, Any] = {"loss": self._descent.loss.numpy()}
        if over:
            info["final_obs"] = observation
            self.episode += 1
            observation = self._begin()
        ends = np.full(self.num_envs, over)
        return observation, rewards, np.zeros(self.num_envs, dtype=bool), ends, info
