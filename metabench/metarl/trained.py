"""A trained agent from its run folder, to be looked at or played on."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from metabench.errors import RunFolderError
from metabench.metarl.agent import Agent
from metabench.metarl.environments import Environment, open_environment
from metabench.metarl.folder import PLAN_FILE, seed_folder
from metabench.metarl.hyperx import HyperX
from metabench.metarl.run import Plan, load_agent
from metabench.metarl.settings import Settings
from metabench.program import run_program

__all__ = ["Trained", "load_trained", "print_about_run"]


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

    @property
    def acting(self) -> Agent:
        """The agent that chooses actions: HyperX's variBAD, any other itself."""
        return self.agent.base if isinstance(self.agent, HyperX) else self.agent


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


def print_about_run(
    name: str, description: str, compare: Callable[[Path, int], list[str]], words: Sequence[str] | None = None
) -> int:
    """A program that says something of one seed of a run folder, in lines: its arguments are RUN and ``--seed``.

    Args:
        name: what its messages begin with.
        description: what ``--help`` says of it.
        compare: run folder, seed -> lines.
        words: the arguments; the process's own if None.

    Returns:
        Exit code, as :func:`metabench.program.run_program` does.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, metavar="RUN", help="the run folder")
    parser.add_argument("--seed", type=int, default=0, help="which of its runs (default: 0)")
    options = parser.parse_args(words)
    torch.set_num_threads(1)

    def write() -> None:
        sys.stdout.write("\n".join([*compare(options.run, options.seed), ""]))

    return run_program(name, write)
