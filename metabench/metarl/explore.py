"""Several seeds of one agent on one environment: a folder that can be resumed, and a report."""

from __future__ import annotations

import dataclasses
import json
import logging
import multiprocessing
import os
import sys
from collections.abc import Mapping
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabench.errors import ArgumentError, MetabenchError, RunFolderError
from metabench.metarl import AGENTS
from metabench.metarl.settings import Settings, preset

if TYPE_CHECKING:
    from metabench.metarl.run import Plan, Report

__all__ = ["ExploreReport", "SeedResult", "default_folder", "explore"]

_log = logging.getLogger(__name__)
_PLAN, _SUMMARY, SCHEMA = "run.json", "summary.json", 1


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
    settings: Settings | Mapping[str, Any] | None = None,
    out: Path | str | None = None,
    resume: bool = False,
    workers: int | None = None,
    tensorboard: bool = False,
    progress: bool = False,
) -> ExploreReport:
    """Trains an agent on an environment, once for each seed, and reports how near it came to the known optimum.

    Args:
        agent: ``rl2``, ``varibad``, ``hyperx`` or a plug-in's.
        env: environment id, with parameters behind a colon if need be (``bandit-v0:pulls=100,arms=10``), or the path
            of the
            user's own definition.
        frames: environment steps of each seed; the preset's if None.
        seeds: runs, numbered from 0.
        settings: all of them, or changes to the preset.
        out: run folder; None makes one below ``runs/``.
        resume: go on with what the folder holds; the result is the same to the bit as if it had not been interrupted.
        workers: processes on this machine; as many as it has cores if None.
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
    from metabench.envs import load_environment
    from metabench.metarl.run import Plan, check_plan

    AGENTS.check(agent)
    reference = load_environment(env).reference
    for name, number in (("seeds", seeds), ("workers", 1 if workers is None else workers)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ArgumentError(f"{name} is {number!r}; expected a whole number of at least 1.")
    chosen = settings if isinstance(settings, Settings) else preset(agent, env).changed(settings or {})
    if frames is not None:
        chosen = chosen.changed({"frames": frames})
    plans = [Plan(agent, env, chosen, seed) for seed in range(seeds)]
    check_plan(plans[0])
    folder = default_folder(agent, env) if out is None else Path(out)
    _open_folder(folder, plans[0], resume=resume)

    failures = _train_all(plans, folder, workers or _cores(), tensorboard=tensorboard, progress=progress)
    if len(failures) == len(plans):
        raise next(iter(failures.values()))
    kept = [plan for plan in plans if plan.seed not in failures]
    report = _report(kept, folder, reference, [f"seed {seed}: {error}" for seed, error in failures.items()])
    _write_json(
        folder / _SUMMARY, dataclasses.asdict(report) | {"folder": None, "figures": [p.name for p in report.figures]}
    )
    return report


def seed_folder(folder: Path, seed: int) -> Path:
    """Where one seed's files are."""
    return folder / f"seed-{seed:03d}"


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _open_folder(folder: Path, plan: Plan, *, resume: bool) -> None:
    """Makes the folder, or accepts one that holds the same plan if it is to be resumed. More seeds may be added."""
    path = folder / _PLAN
    wanted = {"schema": SCHEMA, "agent": plan.agent, "env": plan.env, "settings": dataclasses.asdict(plan.settings)}
    wanted = json.loads(json.dumps(wanted))
    if not path.exists():
        if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
            raise RunFolderError(f"{folder} is not empty and holds no {_PLAN}; choose another --out.")
        folder.mkdir(parents=True, exist_ok=True)
        _write_json(path, wanted)
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
        there = found | found["settings"]
    except (OSError, ValueError, TypeError, KeyError) as error:
        raise RunFolderError(f"{path} cannot be read ({error}); choose another --out or remove it.") from error
    asked = wanted | wanted["settings"]
    for key in [key for key in asked if key != "settings"]:
        if there.get(key) != asked[key]:
            raise RunFolderError(
                f"{folder} belongs to another plan: its {key} is {there.get(key)!r}, not {asked[key]!r}; "
                "choose another --out."
            )
    if not resume:
        raise RunFolderError(
            f"{folder} holds this run already; add --resume to go on with it, or choose another --out."
        )


def _write_json(path: Path, document: Any) -> None:
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    temporary.write_text(json.dumps(document, indent=2) + "\n", encoding="utf-8")
    os.replace(temporary, path)


def _train_all(
    plans: list[Plan], folder: Path, workers: int, *, tensorboard: bool, progress: bool
) -> dict[int, MetabenchError]:
    """Trains all seeds; gives those that failed, with their errors."""
    failures: dict[int, MetabenchError] = {}
    tasks = [(plan, seed_folder(folder, plan.seed), tensorboard, progress) for plan in plans]
    workers = min(workers, len(plans))
    if workers == 1:
        for task in tasks:
            try:
                _train_one(*task)
            except MetabenchError as error:
                failures[task[0].seed] = error
        return failures
    with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
        futures = {task[0].seed: pool.submit(_train_one, *task) for task in tasks}
        for seed, future in futures.items():
            try:
                future.result()
            except MetabenchError as error:
                failures[seed] = error
    return failures


def _train_one(plan: Plan, folder: Path, tensorboard: bool, progress: bool) -> None:
    import torch

    from metabench.metarl.run import train

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more of them on small tensors cost 30-100x when cores are shared
    try:
        train(plan, folder, resume=True, tensorboard=tensorboard, tell=_tell if progress else _log_report)
    finally:
        torch.set_num_threads(threads)


def _line(report: Report) -> str:
    returns = " ".join(f"{value:.2f}" for value in report.result.episodes)
    fraction = report.result.fraction
    share = "" if fraction is None else f"  {fraction:.1%} of the reference"
    return (
        f"seed {report.seed}  {report.frames:>12,} of {report.total:,} frames  {report.frames_per_second:>8,.0f}/s  "
        f"return per episode {returns}{share}"
    )


def _log_report(report: Report) -> None:
    _log.info("%s", _line(report))


def _tell(report: Report) -> None:
    if sys.stderr.isatty():
        sys.stderr.write(_line(report) + "\n")
        sys.stderr.flush()


def _report(plans: list[Plan], folder: Path, reference: Any, notes: list[str]) -> ExploreReport:
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


def _draw(plans: list[Plan], runs: list[list[dict[str, Any]]], folder: Path, reference: Any) -> list[Path]:
    try:
        from metabench.metarl.figures import save_belief_figure, save_learning_figure, save_visit_figure
    except ImportError as error:
        _log.warning("no figures: %s", error)
        return []
    from metabench.envs import make_environment
    from metabench.metarl.run import load_agent
    from metabench.seeding import derive

    paths = [folder / "learning-curve.png"]
    save_learning_figure(runs, f"{plans[0].agent} on {plans[0].env}", reference, paths[0])
    plan = plans[0]
    env = make_environment(plan.env, plan.settings.eval_copies, split=plan.settings.eval_split)
    if env.family.layout is None:
        return paths
    agent, _ = load_agent(plan, seed_folder(folder, plan.seed), env)
    for name, save in (("visits.png", save_visit_figure), ("belief.png", save_belief_figure)):
        if save(agent, env, derive("metarl", "figures"), folder / name):
            paths.append(folder / name)
    return paths
