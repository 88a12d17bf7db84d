"""Many runs: searchers x tasks x seeds, resumable."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabench.errors import ArgumentError, MetabenchError
from metabench.searchers import SEARCHERS
from metabench.searchers.execute import execute
from metabench.searchers.folder import open_folder, write_provenance
from metabench.searchers.plan import Unit, check_arguments, default_folder, make_plan, open_objective
from metabench.searchers.report import SearchReport, leaderboard, list_incumbents
from metabench.searchers.settings import Settings
from metabench.spaces.joint import JointSpace

if TYPE_CHECKING:
    from metabench.tables import Benchmark

__all__ = ["run_search"]

_log = logging.getLogger(__name__)


def run_search(
    searchers: str | Sequence[str],
    on: str | Benchmark | Sequence[str | Benchmark],
    *,
    trials: int,
    seeds: int,
    out: Path | str | None = None,
    kind: str = "table",
    settings: Settings | None = None,
    workers: int | None = None,
    scheduler: str | None = None,
    progress: bool = False,
    dry_run: bool = False,
    command: str | None = None,
) -> SearchReport:
    """Compares searchers on benchmarks.

    Fast searchers run in this process, slow ones (SMAC) and live trainings in processes of their own. Each finished
    run is in the folder at once, and a second call with the same plan and folder does only the rest. The same plan
    gives the same trials on every machine, but for measured overhead.

    Args:
        searchers: registered names.
        on: benchmark ids (``"cells2-v1/mnist1d-v1"``), or open benchmarks.
        trials: budget of each run, in full trainings; a trial that stops earlier spends less.
        seeds: runs of each searcher on each benchmark.
        out: run folder; None makes ``runs/<date-time>-<searchers>`` below the current folder.
        kind: kind of the benchmarks that are named by id. ``"surrogate"`` and ``"live"`` have no known optimum: scores
            of the incumbent are reported instead of regrets.
        settings: simulated workers, clock, promotions and replicates; None takes the defaults.
        workers: processes for slow searchers; None takes one a core.
        scheduler: address of a Dask scheduler (``"tcp://host:8786"``) to do the runs instead.
        progress: show a progress bar on stderr if that is a terminal.
        dry_run: only plan and estimate; nothing is run or written.
        command: the command line that asked for it, kept in the folder.

    Returns:
        The report; a run that raised is missing from its rows, counted in ``failed`` and named in its notes.

    Raises:
        ArgumentError: if a number is not positive, nothing is to be done, or a searcher lacks tasks to learn from.
        UnknownNameError: for an unknown searcher.
        RunFolderError: if the folder belongs to another plan.
        MetabenchError: if no run finished.
    """
    settings = settings or Settings()
    names, benchmarks = check_arguments(searchers, on, trials, seeds, workers)
    makers = {name: SEARCHERS.get(name) for name in names}
    folder = default_folder(names) if out is None else Path(out)
    objectives = [open_objective(benchmark, kind, folder.resolve()) for benchmark in benchmarks]
    tasks = [objective.benchmark.id for objective in objectives]
    if len(set(tasks)) < len(tasks):
        raise ArgumentError(f"a benchmark is given twice among {', '.join(tasks)}; give each once.")
    for name, maker in makers.items():
        for objective in objectives if maker.blocks_only else ():
            if isinstance(objective.space, JointSpace):
                raise ArgumentError(
                    f"{name} sees an architecture as its blocks alone and cannot search the joint space "
                    f"{objective.space.id!r}; leave it out."
                )
        if maker.needs_other_tasks:
            for objective in objectives:
                objective.other_tasks(name)  # raises now, and not in every run
    plan = make_plan(names, objectives, kind, trials, seeds, settings)
    open_folder(folder, plan, write=not dry_run)
    units = [
        Unit(name, makers[name], benchmark, task, kind, seed, trials, folder.resolve(), settings)
        for benchmark, task in zip(benchmarks, tasks, strict=True)
        for name in names
        for seed in range(seeds)
    ]
    done = {unit: found for unit in units if (found := unit.read()) is not None}
    left = [unit for unit in units if unit not in done]
    seconds: dict[str, float] = {}
    for unit in left:
        seconds[unit.searcher] = seconds.get(unit.searcher, 0.0) + unit.maker.seconds_per_trial * trials
    cost: Any = {"estimated_seconds": sum(seconds.values()), "estimated_by_searcher": seconds}
    notes = _notes_on_plan(plan)
    if dry_run:
        notes += _notes_on_trainings(plan)
        return SearchReport(folder, plan, notes=notes, dry_run=True, **cost)

    write_provenance(folder, command)
    by_task = dict(zip(tasks, objectives, strict=True))
    finished, failures = execute(left, by_task, workers=workers, scheduler=scheduler, progress=progress)
    done |= finished
    notes += [
        f"{unit.searcher} on {unit.task}, seed {unit.seed}: no run, it raised {error}"
        for unit, error in failures.items()
    ]
    if not done:
        raise MetabenchError(f"no run finished; the first one raised {next(iter(failures.values()))}")
    runs: dict[tuple[str, str], dict[int, list[dict[str, Any]]]] = {}
    for unit in units:
        if unit in done:
            runs.setdefault((unit.searcher, unit.task), {})[unit.seed] = done[unit]
    notes += _notes_on_exhaustion(runs, trials)
    return SearchReport(
        folder=folder,
        plan=plan,
        rows=leaderboard(runs, trials),
        figures=_draw(runs, folder, plan),
        incumbents=list_incumbents(runs, {task: objective.name for task, objective in by_task.items()}),
        notes=notes,
        failed=len(failures),
        **cost,
    )


def _notes_on_plan(plan: dict[str, Any]) -> list[str]:
    trials = plan["trials"]
    notes = [
        f"{entry['id']}: {trials} trials are more than the {entry['architectures']} architectures of {entry['space']}."
        for entry in plan["benchmarks"]
        if trials > entry["architectures"]
    ]
    return notes + [
        f"{entry['id']}: no known optimum under kind {entry['kind']!r}; scores are reported, not regrets."
        for entry in plan["benchmarks"]
        if not entry["regret"]
    ]


def _notes_on_trainings(plan: dict[str, Any]) -> list[str]:
    runs = len(plan["searchers"]) * plan["seeds"]
    return [
        f"{entry['id']}: up to {min(entry['architectures'], plan['trials'] * runs):,} architectures will be trained, "
        f"{len(entry['replicates'])} replicates each."
        for entry in plan["benchmarks"]
        if entry["kind"] == "live"
    ]


def _notes_on_exhaustion(runs: dict[tuple[str, str], dict[int, list[dict[str, Any]]]], trials: int) -> list[str]:
    """Runs that spent so little that any trial would still have fitted had nothing left to ask."""
    notes = []
    for (searcher, task), by_seed in runs.items():
        spent = [run[-1]["evaluations"] if run else 0.0 for run in by_seed.values()]
        short = [value for value in spent if value <= trials - 1]
        if short:
            span = f"{min(short):.4g}" if min(short) == max(short) else f"{min(short):.4g} to {max(short):.4g}"
            count = f"{len(short)} of {len(by_seed)} runs" if len(by_seed) > 1 else "the run"
            notes.append(
                f"{searcher} on {task}: {count} ended after {span} of {trials} trials: nothing new was left to ask."
            )
    return notes


def _draw(
    runs: dict[tuple[str, str], dict[int, list[dict[str, Any]]]], folder: Path, plan: dict[str, Any]
) -> list[Path]:
    from metabench.analysis.figures import save_regret_figure

    paths = []
    for task in dict.fromkeys(task for _, task in runs):
        path = folder / f"regret--{task.replace('/', '--')}.png"
        by_searcher = {
            searcher: [run for run in by_seed.values() if run] for (searcher, on), by_seed in runs.items() if on == task
        }
        try:
            if save_regret_figure(by_searcher, task, path, plan["settings"]):
                paths.append(path)
        except ImportError as error:
            _log.warning("no figure: %s", error)
    return paths
