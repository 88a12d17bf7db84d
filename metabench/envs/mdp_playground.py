"""The MDP playground: one small MDP with the hardness of its reward and transitions turned up knob by knob."""

from __future__ import annotations

import itertools
from typing import Any, ClassVar

import numpy as np
import torch
from gymnasium import spaces
from torch import Tensor

from metabench.envs.family import Split, TaskFamily
from metabench.envs.raster import draw_states
from metabench.errors import ArgumentError

__all__ = ["MDPPlayground"]

State = tuple[Tensor, Tensor, Tensor]


class MDPPlayground(TaskFamily):
    """Rewarded sequences of states in a random, fully connected MDP.

    In each state every action leads to another of the ``states`` states (a random permutation). Of all sequences of
    ``sequence_length`` different states a share of ``reward_density`` is rewarded: whenever the last states visited in
    an episode are such a sequence, a reward of 1 is paid ``delay`` steps later (never, if the episode is over by then).
    With probability ``transition_noise`` a step leads to one of the other states instead, uniformly; N(0,
    ``reward_noise``^2) is added to every reward. Episodes begin in a uniform state.

    The observation is the state, one-hot, and behind it ``irrelevant_features`` more states, one-hot each, that the
    same actions move by permutations of their own and that have no part in the reward.

    A task is a vector of whole numbers: the next state of each state and action, then 0 or 1 for each sequence of
    states (in the order of base-``states`` numbers, the oldest state first), then the irrelevant features' next states.

    Args:
        states: number of states, and of actions.
        delay: steps from a sequence's end to its reward.
        sequence_length: states of a rewarded sequence.
        transition_noise: probability of a wrong transition.
        reward_noise: standard deviation of the noise on rewards.
        reward_density: share of the sequences that is rewarded; at least one is.
        irrelevant_features: number of features without a meaning.
        horizon: steps of an episode.
        episodes: episodes of a trial.
        device: where the tensors live.

    Reference:
        Rajan et al. (2019), MDP Playground, arXiv:1909.07750. There are no terminal states here.
    """

    id: ClassVar[str] = "mdp-playground"

    def __init__(
        self,
        *,
        states: int = 8,
        delay: int = 0,
        sequence_length: int = 1,
        transition_noise: float = 0.0,
        reward_noise: float = 0.0,
        reward_density: float = 0.25,
        irrelevant_features: int = 0,
        horizon: int = 20,
        episodes: int = 4,
        device: torch.device | str = "cpu",
    ) -> None:
        if states < 2 or min(horizon, episodes) < 1 or irrelevant_features < 0 or not 0 <= delay < min(horizon, 60):
            raise ArgumentError(
                f"states={states}, horizon={horizon}, episodes={episodes}, irrelevant_features={irrelevant_features}, "
                f"delay={delay}: expected states >= 2, horizon and episodes >= 1, features >= 0, 0 <= delay < horizon."
            )
        if not 1 <= sequence_length <= min(states, 4):
            raise ArgumentError(f"sequence_length={sequence_length}: expected 1 to {min(states, 4)}.")
        if not (0 <= transition_noise <= 1 and 0 <= reward_noise < float("inf") and 0 < reward_density <= 1):
            raise ArgumentError(
                f"transition_noise={transition_noise}, reward_noise={reward_noise}, reward_density={reward_density}: "
                "expected a probability, a standard deviation and a share in (0, 1]."
            )
        self.states, self.delay, self.sequence_length = states, delay, sequence_length
        self.transition_noise, self.reward_noise = transition_noise, reward_noise
        self.features, self.horizon, self.episodes = irrelevant_features, horizon, episodes
        self.device, self.layout = torch.device(device), None
        width = states * (1 + irrelevant_features)
        self.observation_space = spaces.Box(0.0, 1.0, (width,), np.float32)
        self.action_space = spaces.Discrete(states)
        self._moves, self._sequences = states * states, states**sequence_length
        size = self._moves * (1 + irrelevant_features) + self._sequences
        self.task_shape, self.task_dtype = (size,), torch.int64
        self._eye = torch.eye(states, device=device)
        different = [
            sum(state * states ** (sequence_length - 1 - i) for i, state in enumerate(sequence))
            for sequence in itertools.permutations(range(states), sequence_length)
        ]
        self._different = torch.tensor(different, device=device)
        self.rewarded = max(1, round(reward_density * len(different)))
        # Histories are numbers in base states + 1, whose last digit, `states`, stands for "before the episode".
        base = states + 1
        digits = torch.arange(base**sequence_length, device=device)
        places = [digits // base**i % base for i in range(sequence_length)]
        self._complete = torch.stack([place < states for place in places]).all(0)
        self._sequence_of = sum((place.clamp(max=states - 1) * states**i for i, place in enumerate(places)), digits * 0)

    def sample_tasks(self, n: int, generator: torch.Generator, split: Split = "all") -> Tensor:
        def permutations(count: int) -> Tensor:
            return self._uniform((n, count, self.states), generator).argsort(-1).reshape(n, -1)

        moves = permutations(self.states)
        order = self._uniform((n, len(self._different)), generator).argsort(-1)[:, : self.rewarded]
        flags = torch.zeros(n, self._sequences, dtype=torch.int64, device=self.device)
        flags.scatter_(1, self._different[order], 1)
        return torch.cat((moves, flags, permutations(self.features * self.states)), 1)

    def find_fault(self, tasks: Tensor) -> str | None:
        moves, flags, irrelevant = self.split_task(tasks)
        if ((flags != 0) & (flags != 1)).any():
            return "rewarded sequences are marked by other numbers than 0 and 1"
        inside = all(bool(((part >= 0) & (part < self.states)).all()) for part in (moves, irrelevant))
        return None if inside else f"next states are not all from 0 to {self.states - 1}"

    def split_task(self, tasks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Next states ``(n, states * actions)``, rewarded sequences ``(n, states^L)``, the irrelevant next states."""
        parts = tasks.split([self._moves, self._sequences, self._moves * self.features], dim=1)
        return parts[0], parts[1], parts[2]

    def prepare(self, tasks: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Next states, whether each history (see ``__init__``) is rewarded, the irrelevant features' next states."""
        moves, flags, irrelevant = self.split_task(tasks)
        pays = flags[:, self._sequence_of] * self._complete
        return moves, pays, irrelevant.reshape(len(tasks), self.features, self._moves)

    def start(self, prepared: Any, generator: torch.Generator) -> tuple[State, Tensor]:
        n, base = len(prepared[0]), self.states + 1
        drawn = torch.randint(self.states, (n, 1 + self.features), generator=generator, device=self.device)
        history = base**self.sequence_length - base + drawn[:, 0]  # all digits `states` but the last
        state = (history, torch.zeros_like(history), drawn[:, 1:])
        return state, self._observe(state)

    def step(
        self, prepared: Any, state: State, action: Tensor, generator: torch.Generator
    ) -> tuple[State, Tensor, Tensor]:
        moves, pays, irrelevant = prepared
        history, pending, features = state
        base = self.states + 1
        current = moves.gather(1, (history % base * self.states + action)[:, None]).squeeze(1)
        if self.transition_noise:
            slips = self._uniform(current.shape, generator) < self.transition_noise
            shift = torch.randint(1, self.states, current.shape, generator=generator, device=self.device)
            current = torch.where(slips, (current + shift) % self.states, current)
        history = history % base ** (self.sequence_length - 1) * base + current
        pending = (pending << 1) | pays.gather(1, history[:, None]).squeeze(1)
        reward = (pending >> self.delay).to(torch.float32)
        pending = pending & ((1 << self.delay) - 1)
        if self.reward_noise:
            noise = torch.randn(reward.shape, generator=generator, device=self.device)
            reward = torch.add(reward, noise, alpha=self.reward_noise)
        if self.features:
            features = irrelevant.gather(2, (features * self.states + action[:, None])[..., None]).squeeze(2)
        state = (history, pending, features)
        return state, self._observe(state), reward

    def draw(self, task: Tensor, state: State) -> np.ndarray:
        _, flags, _ = self.split_task(task[None])
        single = flags[0].nonzero().squeeze(1).tolist() if self.sequence_length == 1 else ()
        return draw_states(self.states, int(state[0]) % (self.states + 1), single)

    def _uniform(self, shape: tuple[int, ...], generator: torch.Generator) -> Tensor:
        return torch.rand(shape, generator=generator, device=self.device)

    def _observe(self, state: State) -> Tensor:
        current = self._eye.index_select(0, state[0] % (self.states + 1))
        return torch.cat((current, self._eye[state[2]].flatten(1)), 1) if self.features else current
