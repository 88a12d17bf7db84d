"""A trained agent from its run folder, to be looked at or played on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

from metabench.errors import RunFolderError
from metabench.metarl.agent import Agent
from metabench.metarl.environments import Environment, open_environment
from metabench.metarl.folder import PLAN_FILE, seed_folder
from metabench.metarl.run import Plan, load_agent
from metabench.metarl.settings import Settings

__all__ = ["Trained", "load_trained"]


class Trained(NamedTuple):
    """What a run's checkpoint holds.

    Attributes:
        plan: what was run.
        agent: as it was at the checkpoint.
        env: the environment, with the tasks that the run evaluates on.
        updates: how many the agent has had.
    """

    plan: Plan
    agent: Agent
    env: Environment
    updates: int


def load_trained(folder: Path | str, seed: int = 0, *, copies: int | None = None) -> Trained:
    """Opens what ``metabench explore`` wrote, whether it has finished or not.

    >>> trained = load_trained("runs/grid")  # doctest: +SKIP
    >>> collect(trained.env, trained.agent, seed=0, deterministic=True).trajectories.reward.sum(0)  # doctest: +SKIP

    Args:
        folder: the run folder.
        seed: which of its runs.
        copies: of the environment; as many as the run evaluates on if None.

    Raises:
        RunFolderError: if the folder is no run folder, or its plan cannot be read.
        CheckpointError: if this seed has no checkpoint yet, or a damaged one.
    """
    path = Path(folder) / PLAN_FILE
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        plan = Plan(found["agent"], found["env"], Settings().changed(found["settings"]), seed)
    except FileNotFoundError as error:
        raise RunFolderError(f"{folder} holds no {PLAN_FILE}; give a folder that metabench explore wrote.") from error
    except (OSError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise RunFolderError(f"{path} cannot be read ({error}); was it changed by hand?") from error
    env = open_environment(plan.env, copies or plan.settings.eval_copies, plan.settings.eval_split)
    agent, updates = load_agent(plan, seed_folder(Path(folder), seed), env)
    return Trained(plan, agent, env, updates)
