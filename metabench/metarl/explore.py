"""Several seeds of one agent on one environment: a folder that can be resumed, and a report."""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabench.errors import ArgumentError
from metabench.metarl import AGENTS
from metabench.metarl.folder import open_folder, seed_folder, write_json
from metabench.metarl.presets import preset
from metabench.metarl.settings import Settings

if TYPE_CHECKING:
    from metabench.envs import Reference
    from metabench.metarl.run import Plan

__all__ = ["ExploreReport", "SeedResult", "default_folder", "explore"]

_log = logging.getLogger(__name__)


@dataclass(frozen=True)
class SeedResult:
    """The last evaluation of one seed.

    Attributes:
        seed: of the run.
        episodes: undiscounted return of each episode, mean over tasks.
        fraction: of the reference policy's return over the trial; None without a reference.
        score: (return - random) / (reference - random); None without a reference.
    """

    seed: int
    episodes: tuple[float, ...]
    fraction: float | None
    score: float | None


@dataclass(frozen=True)
class ExploreReport:
    """What an experiment found.

    Attributes:
        agent: its name.
        env: environment id.
        folder: of the run.
        frames: environment steps of each seed.
        unit: the reference policy; None without a reference.
        seeds: the last evaluation of each seed.
        trial_return: interquartile mean over seeds and its 95% interval, as (estimate, lower, upper).
        fraction: the same of the fraction of the reference; None without one.
        figures: that were drawn.
        notes: what went wrong.
    """

    agent: str
    env: str
    folder: Path
    frames: int
    unit: str | None
    seeds: tuple[SeedResult, ...]
    trial_return: tuple[float, float, float]
    fraction: tuple[float, float, float] | None
    figures: tuple[Path, ...] = ()
    notes: tuple[str, ...] = field(default=())


def default_folder(agent: str, env: str) -> Path:
    """A new name below ``runs/``."""
    word = Path(env.partition(":")[0]).stem
    return Path("runs") / f"{datetime.now():%Y%m%d-%H%M%S}-{agent}-{word}"


def explore(
    agent: str,
    env: str,
    *,
    frames: int | None = None,
    seeds: int = 1,
    first_seed: int = 0,
    settings: Settings | Mapping[str, Any] | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    workers: int | None = None,
    scheduler: str | None = None,
    tensorboard: bool = False,
    progress: bool = False,
) -> ExploreReport:
    """Trains an agent on an environment, once for each seed, and reports how near it came to the known optimum.

    Args:
        agent: ``rl2``, ``varibad``, ``hyperx`` or a plug-in's.
        env: environment id, with parameters behind a colon if need be (``bandit-v0:pulls=100,arms=10``), the path of
            the user's own definition, or ``package.module:function`` that makes a vector environment of so many copies.
        frames: environment steps of each seed; the preset's if None.
        seeds: runs, numbered from ``first_seed``.
        first_seed: other than 0 to choose settings on runs that are not reported.
        settings: all of them, or changes to the preset.
        out: run folder; None makes one below ``runs/``.
        resume: go on with what the folder holds; the result is the same to the bit as if it had not been interrupted.
        workers: processes on this machine; as many as it has cores if None.
        scheduler: address of a Dask scheduler (``tcp://host:8786``) to send the seeds to instead; its workers must see
            the run folder.
        tensorboard: write event files as well as JSONL.
        progress: a line on stderr after every evaluation, if that is a terminal.

    Returns:
        The report, which is also in the folder as ``summary.json``.

    Raises:
        UnknownNameError: for an unknown agent or setting.
        ContentError: for an unknown environment.
        ArgumentError: for a number that makes no sense, such as frames that are fewer than one update.
        RunFolderError: if the folder holds another plan, or this one and ``resume`` is false.
        DivergedError: if a seed became non-finite and no other is left.
    """
    from metabench.metarl.environments import find_reference
    from metabench.metarl.run import Plan, check_plan
    from metabench.metarl.workers import Task, train_here, train_on_dask

    AGENTS.check(agent)
    reference = find_reference(env)
    for name, number in (("seeds", seeds), ("workers", 1 if workers is None else workers)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ArgumentError(f"{name} is {number!r}; expected a whole number of at least 1.")
    if isinstance(first_seed, bool) or not isinstance(first_seed, int) or first_seed < 0:
        raise ArgumentError(f"first_seed is {first_seed!r}; expected a whole number of at least 0.")
    chosen = settings if isinstance(settings, Settings) else preset(agent, env).changed(settings or {})
    if frames is not None:
        chosen = chosen.changed({"frames": frames})
    plans = [Plan(agent, env, chosen, seed) for seed in range(first_seed, first_seed + seeds)]
    check_plan(plans[0])
    folder = default_folder(agent, env) if out is None else Path(out)
    open_folder(folder, plans[0], resume=resume)

    tasks = [Task(plan, seed_folder(folder, plan.seed), tensorboard, progress) for plan in plans]
    failures = train_on_dask(tasks, scheduler) if scheduler else train_here(tasks, workers)
    if len(failures) == len(plans):
        raise next(iter(failures.values()))
    kept = [plan for plan in plans if plan.seed not in failures]
    report = _report(kept, folder, reference, [f"seed {seed}: {error}" for seed, error in failures.items()])
    document = dataclasses.asdict(report)
    document |= {"folder": None, "figures": [path.name for path in report.figures]}  # wherever the folder goes
    write_json(folder / "summary.json", document)
    return report


def _report(plans: list[Plan], folder: Path, reference: Reference | None, notes: list[str]) -> ExploreReport:
    from metabench.metarl.log import read_metrics
    from metabench.metarl.statistics import interquartile_mean_interval

    results, runs = [], []
    for plan in plans:
        lines = read_metrics(seed_folder(folder, plan.seed))
        last = [line for line in lines if "charts/eval_return" in line][-1]
        episodes = tuple(value for name, value in last.items() if name.startswith("return_avg_per_frame/"))
        results.append(
            SeedResult(plan.seed, episodes, last.get("charts/fraction_of_reference"), last.get("charts/score"))
        )
        runs.append(lines)
    fractions = [result.fraction for result in results if result.fraction is not None]
    return ExploreReport(
        agent=plans[0].agent,
        env=plans[0].env,
        folder=folder,
        frames=int(runs[0][-1]["frames"]),
        unit=None if reference is None else reference.unit,
        seeds=tuple(results),
        trial_return=interquartile_mean_interval([sum(result.episodes) for result in results]),
        fraction=interquartile_mean_interval(fractions) if fractions else None,
        figures=tuple(_draw(plans, runs, folder, reference)),
        notes=tuple(notes),
    )


def _draw(plans: list[Plan], runs: list[list[dict[str, Any]]], folder: Path, reference: Reference | None) -> list[Path]:
    try:
        from metabench.metarl import figures
    except ImportError as error:
        _log.warning("no figures: %s", error)
        return []
    from metabench.envs import TrialVectorEnv
    from metabench.envs.pictures import has_plane
    from metabench.metarl.environments import open_environment
    from metabench.metarl.run import load_agent
    from metabench.seeding import derive

    paths = [folder / "learning-curve.png"]
    figures.save_learning_figure(runs, f"{plans[0].agent} on {plans[0].env}", reference, paths[0])
    plan = plans[0]
    env = open_environment(plan.env, plan.settings.eval_copies, plan.settings.eval_split)
    if not isinstance(env, TrialVectorEnv) or not has_plane(env):
        return paths
    agent, _ = load_agent(plan, seed_folder(folder, plan.seed), env)
    played = figures.play_trials(agent, env, derive("metarl", "figures"))
    kinds = {
        "paths": figures.save_path_figure,
        "visits": figures.save_visit_figure,
        "belief": figures.save_belief_figure,
    }
    for word, save in kinds.items():
        name = f"{word}.png"
        if save(agent, env, played, folder / name):
            paths.append(folder / name)
    return paths
