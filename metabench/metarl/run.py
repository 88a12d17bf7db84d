"""The loop: collect a trial of every copy, learn, log, evaluate, save; the same for every agent."""

from __future__ import annotations

import dataclasses
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from metabench.errors import ArgumentError, DivergedError
from metabench.metarl import AGENTS
from metabench.metarl.agent import Agent
from metabench.metarl.checkpoint import Checkpoint, Identity, first_nonfinite, load_checkpoint, save_checkpoint
from metabench.metarl.environments import Environment, find_reference, open_environment, use_split
from metabench.metarl.evaluation import EvaluationResult, evaluate
from metabench.metarl.log import MetricsLog
from metabench.metarl.problem import problem_of
from metabench.metarl.rollout import collect, episode_returns
from metabench.metarl.settings import Settings
from metabench.seeding import derive

__all__ = ["Plan", "Report", "check_plan", "checkpoint_path", "load_agent", "train"]

_LINES = 500  # of metrics in a run, at most


@dataclass(frozen=True)
class Plan:
    """One run: equal plans give equal bytes.

    Attributes:
        agent: registered name.
        env: environment id, path or function, as :func:`open_environment` takes it.
        settings: of the agent and the run.
        seed: of everything that is drawn.
    """

    agent: str
    env: str
    settings: Settings
    seed: int

    @property
    def identity(self) -> Identity:
        """What its checkpoints are marked with."""
        return Identity(self.agent, self.env, self.seed, json.dumps(dataclasses.asdict(self.settings), sort_keys=True))


@dataclass(frozen=True)
class Report:
    """What is told after every evaluation."""

    seed: int
    frames: int
    total: int
    frames_per_second: float
    result: EvaluationResult


@dataclass(frozen=True)
class _Schedule:
    """When there is what. Checkpoints fall on lines, so no pending mean is lost in one."""

    updates: int
    line: int
    evaluation: int

    @staticmethod
    def of(settings: Settings, steps: int) -> _Schedule:
        """Raises ArgumentError if there are too few frames for one update."""
        size = settings.copies * steps
        updates = settings.frames // size
        if updates < 1:
            raise ArgumentError(
                f"{settings.frames:,} frames are fewer than one update, which takes {size:,}: "
                f"a trial of {steps} steps in each of {settings.copies} copies. Give more frames or fewer copies."
            )
        line = math.ceil(updates / _LINES)
        return _Schedule(updates, line, line * math.ceil(updates / line / settings.evaluations))

    def due(self, update: int, every: int) -> bool:
        return update % every == 0 or update == self.updates


def check_plan(plan: Plan) -> None:
    """Makes everything once, small, so that a mistake is told before anything is written.

    Raises:
        MetabenchError: for whatever is wrong with the plan.
    """
    settings = plan.settings
    env = open_environment(plan.env, 1, settings.train_split)
    open_environment(plan.env, 1, settings.eval_split)
    _Schedule.of(settings, env.steps)
    AGENTS.get(plan.agent)(problem_of(env), settings, plan.seed)


def checkpoint_path(folder: Path) -> Path:
    """Where a run's latest checkpoint is."""
    return folder / "checkpoint.pt"


def load_agent(plan: Plan, folder: Path, env: Environment) -> tuple[Agent, int]:
    """The agent of a run's checkpoint, and how many updates it has had.

    Raises:
        CheckpointError: if the checkpoint is missing, damaged or another plan's.
    """
    agent: Agent = AGENTS.get(plan.agent)(problem_of(env), plan.settings, plan.seed)
    checkpoint = load_checkpoint(checkpoint_path(folder), plan.identity)
    agent.load_state_dict(dict(checkpoint.state))
    return agent, checkpoint.updates


def train(
    plan: Plan,
    folder: Path,
    *,
    resume: bool = False,
    tensorboard: bool = False,
    tell: Callable[[Report], None] | None = None,
) -> EvaluationResult:
    """Trains one agent, from the start or from the folder's checkpoint.

    Args:
        plan: what to do.
        folder: of this run; gets ``metrics.jsonl``, ``timing.jsonl`` and ``checkpoint.pt``.
        resume: go on from the checkpoint, if there is one; the result is the uninterrupted run's to the bit.
        tensorboard: write event files too.
        tell: is called after every evaluation.

    Returns:
        The last evaluation.

    Raises:
        ArgumentError: if the frames do not make one update.
        CheckpointError: if the checkpoint is another plan's.
        DivergedError: if anything becomes non-finite; the last good checkpoint stays.
    """
    settings, reference = plan.settings, find_reference(plan.env)
    env = open_environment(plan.env, settings.copies, settings.train_split)
    judge = open_environment(plan.env, settings.eval_copies, settings.eval_split)
    schedule, size = _Schedule.of(settings, env.steps), settings.copies * env.steps
    folder.mkdir(parents=True, exist_ok=True)
    if resume and checkpoint_path(folder).exists():
        agent, done = load_agent(plan, folder, env)
    else:
        agent, done = AGENTS.get(plan.agent)(problem_of(env), settings, plan.seed), 0
    log = MetricsLog(folder, done, done * size, tensorboard=tensorboard)
    result = evaluate(agent, judge, settings.eval_split, reference) if done == schedule.updates else None
    saved, began = done, time.perf_counter()

    for update in range(done + 1, schedule.updates + 1):
        frames = (update - 1) * size
        seed = derive("metarl", "trials", plan.seed, update)
        use_split(env, settings.train_split, seed)
        rollout = collect(env, agent, seed=seed)
        metrics = agent.update(rollout, frames)
        returns = episode_returns(rollout.trajectories.reward, env.episodes)
        metrics["charts/episodic_return"] = float(returns.sum(0).mean())
        _check(metrics, plan, folder, frames, saved * size)
        log.add(metrics)

        extra: dict[str, float] = {}
        if schedule.due(update, schedule.evaluation):
            result = evaluate(agent, judge, settings.eval_split, reference)
            extra = result.metrics()
        if schedule.due(update, schedule.line):
            speed = (update - done) * size / (time.perf_counter() - began)
            log.write(update, update * size, extra, {"charts/SPS": speed})
        if schedule.due(update, schedule.evaluation) and result is not None:
            state = agent.state_dict()
            fault = first_nonfinite(state)
            _check({fault: math.nan} if fault else {}, plan, folder, frames, saved * size)
            save_checkpoint(checkpoint_path(folder), Checkpoint(plan.identity, update, state))
            saved = update
            if tell is not None:
                speed = (update - done) * size / (time.perf_counter() - began)
                tell(Report(plan.seed, update * size, schedule.updates * size, speed, result))
    log.close()
    assert result is not None  # the last update is always evaluated
    return result


def _check(metrics: Mapping[str, float], plan: Plan, folder: Path, frames: int, saved: int) -> None:
    """Raises DivergedError at the first value that is not finite."""
    for name, value in metrics.items():
        if not math.isfinite(value):
            kept = (
                f"the last good checkpoint, of {saved:,} frames, is {checkpoint_path(folder)}"
                if saved
                else "no checkpoint was made"
            )
            raise DivergedError(
                f"{plan.agent} on {plan.env}, seed {plan.seed}: {name} became {value} in the update after "
                f"{frames:,} frames; {kept}. A smaller learning_rate or vae_learning_rate is the usual cure."
            )
