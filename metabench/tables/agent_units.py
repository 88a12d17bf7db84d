"""Trains one row of a table of agents: a memory cell, and perhaps a policy's body, in a meta-RL agent."""

from __future__ import annotations

import math
import time
from typing import Any

import numpy as np
import torch

from metabench.datasets import Task
from metabench.envs import TrialVectorEnv
from metabench.envs.definition import FAMILIES
from metabench.errors import ArgumentError
from metabench.metarl import AGENTS
from metabench.metarl.agent import Agent
from metabench.metarl.problem import problem_of
from metabench.metarl.rollout import collect
from metabench.metarl.settings import Settings
from metabench.seeding import derive
from metabench.spaces.architecture import Architecture
from metabench.training import METRICS, Cost, count_cost

__all__ = ["agent_settings", "measure_agent", "train_agent"]

_COST_COPIES = 128


def agent_settings(architecture: Architecture, task: Task, width: int) -> Settings:
    """The settings of an architecture's agent.

    Raises:
        ArgumentError: if the architecture has more than two blocks.
    """
    if len(architecture.blocks) not in (1, 2):
        raise ArgumentError(f"{architecture}: an agent has a memory cell and perhaps a body: one or two blocks.")
    parts = dict(zip(("memory_cell", "policy_body"), architecture.blocks, strict=False))
    return Settings().changed({**task.parameters["settings"], **parts, "memory_width": width})


def train_agent(architecture: Architecture, task: Task, width: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Trains an agent and evaluates it at the task's checkpoints, greedily, on the same trials for all agents.

    Metrics are those of a classifier's row. ``train_loss`` is the negative bound of the belief's training, or PPO's
    value loss for an agent without one; scores are returns of a trial divided by the reference's best, ``val_score``
    on one draw of tasks and ``test_score`` on another; solver figures are of one step of an agent in training: memory
    cell and actor's body together, ``unconverged`` and ``residual`` those of the worse of the two. Losses and solver
    figures are means since the checkpoint before. A training that becomes non-finite ends there, with an
    infinite loss and a random policy's scores.

    Args:
        architecture: memory cell and body.
        task: of :func:`load_table_task`.
        width: of the memory.
        seed: replicate.

    Returns:
        Values ``(checkpoints, metrics)`` and process-CPU seconds of training ``(checkpoints,)``.

    Raises:
        ArgumentError: if a checkpoint is not a whole number of updates.
    """
    settings = agent_settings(architecture, task, width)
    env, val, test = (
        _environment(task, copies, split)
        for copies, split in (
            (settings.copies, settings.train_split),
            (settings.eval_copies, settings.eval_split),
            (settings.eval_copies, settings.eval_split),
        )
    )
    size = settings.copies * env.steps
    if any(point % size for point in task.epochs):
        raise ArgumentError(f"{task.id}: checkpoints {task.epochs}; expected multiples of one update's {size} frames.")
    agent: Agent = AGENTS.get(task.parameters["agent"])(problem_of(env), settings, seed)
    values = np.full((len(task.epochs), len(METRICS)), np.nan, dtype=np.float32)
    seconds = np.zeros(len(task.epochs), dtype=np.float32)
    spent, done, best = 0.0, 0, task.parameters["best_return"]
    for place, point in enumerate(task.epochs):
        begin, logged = time.process_time(), []
        while done * size < point:
            done += 1
            rollout = collect(env, agent, seed=derive("metarl", "trials", seed, done))
            logged.append(agent.update(rollout, (done - 1) * size))
            if not all(math.isfinite(value) for value in logged[-1].values()):
                seconds[place:] = spent + time.process_time() - begin
                values[place:] = [math.inf, *[task.reference["random"]] * 2, 0.0, 0.0, 1.0, 0.0]
                return values, seconds
        spent += time.process_time() - begin
        scores = [_fraction(agent, judge, name, best) for name, judge in (("val", val), ("test", test))]
        values[place] = [_loss(logged), *scores, *_solves(logged)]
        seconds[place] = spent
    return values, seconds


def measure_agent(architecture: Architecture, task: Task, width: int) -> Cost:
    """Costs of one step of an agent, act and observe, with initial weights, in a batch of 128 copies.

    Parameters are all that are trained, decoders too. Activation bytes are what a backward pass through one step keeps.
    """
    settings = agent_settings(architecture, task, width)
    env = _environment(task, _COST_COPIES, settings.train_split)
    agent: Agent = AGENTS.get(task.parameters["agent"])(problem_of(env), settings, 0)
    obs = env.reset_tensor(seed=derive("metarl", "cost"))
    carry, generator = agent.begin(_COST_COPIES), torch.Generator().manual_seed(0)
    decision, carry = agent.act(carry, obs, generator)
    transition = env.step_tensor(decision.action.detach())

    def step() -> Any:
        found, kept = agent.act(carry, obs, generator)
        return found, agent.observe(kept, decision.action, transition)

    return count_cost(step, _parameters(agent), _COST_COPIES)


def _environment(task: Task, copies: int, split: str) -> TrialVectorEnv:
    return TrialVectorEnv(FAMILIES.get(task.dataset)(**task.parameters["environment"]), copies, split=split)


def _parameters(agent: Agent) -> list[torch.nn.Parameter]:
    """All weights that training changes, each once."""
    found: dict[int, torch.nn.Parameter] = {}
    waiting: list[Any] = list(vars(agent).values())
    while waiting:
        part = waiting.pop()
        if isinstance(part, Agent):
            waiting += vars(part).values()
        elif isinstance(part, torch.nn.Module):
            found |= {id(weight): weight for weight in part.parameters() if weight.requires_grad}
    return list(found.values())


def _fraction(agent: Agent, env: TrialVectorEnv, name: str, best: float) -> float:
    rollout = collect(env, agent, seed=derive("metarl", "table", name), deterministic=True)
    return float(rollout.trajectories.reward.sum(0).mean()) / best


def _mean(logged: list[dict[str, float]], name: str) -> float | None:
    values = [line[name] for line in logged if name in line]
    return sum(values) / len(values) if values else None


def _loss(logged: list[dict[str, float]]) -> float:
    bound = _mean(logged, "losses/elbo")
    found = _mean(logged, "losses/value_loss") if bound is None else bound
    return math.nan if found is None else found


def _solves(logged: list[dict[str, float]]) -> list[float]:
    """nfe_forward, nfe_backward, unconverged and residual of a step."""
    parts = {
        name: [value for part in ("memory", "policy") if (value := _mean(logged, f"charts/{part}_{name}")) is not None]
        for name in METRICS[3:]
    }
    nfe_forward, nfe_backward, unconverged, residual = (parts[name] for name in METRICS[3:])
    return [sum(nfe_forward), sum(nfe_backward), max(unconverged, default=0.0), max(residual, default=0.0)]
