"""The MDP playground with a known model: value iteration on the MDP augmented by history and delay."""

from __future__ import annotations

import torch
from torch import Tensor

from metabench.envs.family import Transition
from metabench.envs.mdp_playground import MDPPlayground
from metabench.envs.references.policy import ReferencePolicy
from metabench.envs.trial import TrialVectorEnv

__all__ = ["PlaygroundModelKnown", "solve_playground"]


def solve_playground(family: MDPPlayground, tasks: Tensor, *, uniform: bool = False) -> tuple[Tensor | None, Tensor]:
    """Solves one episode of each task, exactly.

    The Markov state is the last ``sequence_length`` states (a history, see :class:`MDPPlayground`) with the rewards
    still on their way. Those add to the return whatever is done from now on, so they are credited when they are earned,
    if they arrive by the episode's end, and need no state. Noise on rewards has mean zero.

    Args:
        family: the environment.
        tasks: ``(n, *task_shape)``.
        uniform: evaluates uniformly random actions instead of the best ones.

    Returns:
        The best actions ``(horizon, n, histories)`` (None if uniform), and the expected return of an episode ``(n,)``.
    """
    moves, pays, _ = family.prepare(tasks)
    n, states, base = len(tasks), family.states, family.states + 1
    histories = torch.arange(base**family.sequence_length, device=family.device)
    current = (histories % base).clamp(max=states - 1)  # a history always ends in a state; the rest is never reached
    shifted = histories % base ** (family.sequence_length - 1) * base
    following = shifted[:, None] + torch.arange(states, device=family.device)  # (histories, next state)
    reached = moves.view(n, states, states)[:, current]  # (n, histories, actions): the intended next state
    value = torch.zeros(n, len(histories), dtype=torch.float64, device=family.device)
    slip = family.transition_noise
    actions = []
    for step in range(family.horizon, 0, -1):
        arrives = float(step + family.delay <= family.horizon)
        entering = (pays * arrives + value)[:, following]  # (n, histories, next state)
        intended = entering.gather(2, reached)
        others = (entering.sum(2, keepdim=True) - intended) / (states - 1)
        chosen = (1.0 - slip) * intended + slip * others
        if uniform:
            value = chosen.mean(2)
        else:
            value, action = chosen.max(2)
            actions.append(action)
    first = base**family.sequence_length - base + torch.arange(states, device=family.device)
    return (torch.stack(actions[::-1]) if actions else None), value[:, first].mean(1)


class PlaygroundModelKnown(ReferencePolicy):
    """Looks up the task and acts by :func:`solve_playground`: the ceiling of every episode."""

    def begin(self, env: TrialVectorEnv, generator: torch.Generator) -> None:
        assert isinstance(env.family, MDPPlayground)
        self._env, self._family = env, env.family
        self._action, _ = solve_playground(env.family, env.tasks)
        self._forget(env.num_envs)

    def _forget(self, n: int) -> None:
        family = self._family
        self._history = torch.full((n,), (family.states + 1) ** family.sequence_length - 1, device=family.device)

    def act(self, obs: Tensor) -> Tensor:
        base, length = self._family.states + 1, self._family.sequence_length
        current = obs[:, : self._family.states].argmax(1)
        self._history = self._history % base ** (length - 1) * base + current
        assert self._action is not None
        return self._action[self._env.episode_step].gather(1, self._history[:, None]).squeeze(1)

    def observe(self, obs: Tensor, action: Tensor, transition: Transition) -> None:
        if transition.episode_end:
            self._forget(len(obs))
