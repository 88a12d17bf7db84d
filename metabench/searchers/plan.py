"""What a comparison of searchers will do: checked arguments, the plan of ``run.json``, and its units of work."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from metabench.errors import ArgumentError
from metabench.searchers import SEARCHERS
from metabench.searchers.folder import clear_failure, read_trials, trials_path, write_failure, write_trials
from metabench.searchers.loop import run_loop
from metabench.searchers.objective import Objective
from metabench.searchers.settings import Settings
from metabench.searchers.trainings import Trainings
from metabench.seeding import derive
from metabench.spaces.joint import JointDefinition, JointSpace

if TYPE_CHECKING:
    from metabench.searchers.searcher import Searcher
    from metabench.tables import Benchmark

__all__ = ["SCHEMA", "Unit", "check_arguments", "default_folder", "make_plan", "open_objective"]

SCHEMA = 1


@dataclass(frozen=True)
class Unit:
    """One run: one searcher, task and seed. It can be pickled, and doing it twice writes the same trials.

    Attributes:
        searcher: registered name.
        maker: the searcher's class.
        benchmark: id to open in the process that does the run, or the benchmark itself.
        task: the benchmark's id.
        kind: of the benchmark.
        seed: number of the run, from 0.
        trials: budget in full trainings.
        folder: the run folder, absolute.
        settings: of the search.
    """

    searcher: str
    maker: type[Searcher]
    benchmark: str | Benchmark
    task: str
    kind: str
    seed: int
    trials: int
    folder: Path
    settings: Settings

    @property
    def path(self) -> Path:
        """The file of its trials."""
        return trials_path(self.folder, self.task, self.searcher, self.seed)

    def read(self) -> list[dict[str, Any]] | None:
        """Its trials, or None if it has not finished."""
        return read_trials(self.path)

    def run(self, objective: Objective) -> list[dict[str, Any]]:
        """Searches; nothing is written but the trainings of a live benchmark."""
        extra = {"others": objective.other_tasks(self.searcher)} if self.maker.needs_other_tasks else {}
        searcher = self.maker(
            objective.space,
            epochs=objective.epochs,
            seeds=self.settings.replicates_of(objective.seeds, self.seed),
            seed=derive("search", self.searcher, self.task, self.seed),
            trials=self.trials,
            **extra,
        )
        return run_loop(searcher, objective, self.trials, self.settings)

    def write(self, trials: Sequence[dict[str, Any]]) -> None:
        """Writes its trials, which marks it as finished."""
        write_trials(self.path, trials)
        clear_failure(self.path)

    def write_failure(self, error: str) -> None:
        """Marks it as failed, with a reason in one line."""
        write_failure(self.path, searcher=self.searcher, task=self.task, seed=self.seed, error=error)


def open_objective(benchmark: str | Benchmark, kind: str, folder: Path) -> Objective:
    """Opens a benchmark by its id (or takes one that is open) for the searches of a run folder."""
    if isinstance(benchmark, str):
        from metabench.tables import open_benchmark

        opened = open_benchmark(benchmark, kind=kind)  # type: ignore[arg-type]  # it checks the kind
        benchmark = cast("Benchmark", opened)  # a JointBenchmark answers the same questions
    if benchmark.kind != "live":
        return Objective(benchmark)
    place = trials_path(folder, benchmark.id, "searcher", 0).parents[1]
    return Objective(benchmark, Trainings(benchmark, place / "trainings.jsonl"))


def check_arguments(
    searchers: Any, on: Any, trials: int, seeds: int, workers: int | None
) -> tuple[tuple[str, ...], tuple[Any, ...]]:
    """Returns searchers and benchmarks as tuples without repetitions.

    Raises:
        ArgumentError: if a list is empty or a number is not positive.
        UnknownNameError: for an unknown searcher.
    """
    names = (searchers,) if isinstance(searchers, str) else tuple(dict.fromkeys(searchers))
    benchmarks = tuple(dict.fromkeys(on)) if isinstance(on, Sequence) and not isinstance(on, str) else (on,)
    if not names:
        raise ArgumentError(f"no searcher given; name at least one of {', '.join(SEARCHERS.names())}.")
    if not benchmarks:
        raise ArgumentError("no benchmark given; name at least one, such as 'cells2-v1/mnist1d-v1'.")
    for what, number in (("trials", trials), ("seeds", seeds), ("workers", 1 if workers is None else workers)):
        if isinstance(number, bool) or not isinstance(number, int) or number < 1:
            raise ArgumentError(f"{what} is {number!r}; expected a whole number of at least 1.")
    for name in names:
        SEARCHERS.check(name)
    return names, benchmarks


def make_plan(
    searchers: Sequence[str], objectives: Sequence[Objective], kind: str, trials: int, seeds: int, settings: Settings
) -> dict[str, Any]:
    """The content of ``run.json``: two runs of an equal plan give equal trials."""
    try:
        own_version = version("metabench")
    except PackageNotFoundError:
        own_version = "unknown"
    return {
        "schema": SCHEMA,
        "version": own_version,
        "kind": kind,
        "searchers": list(searchers),
        "benchmarks": [
            {
                "id": objective.benchmark.id,
                "kind": objective.benchmark.kind,
                "space": objective.space.id,
                "architectures": _count(objective.space),
                "epochs": list(objective.epochs),
                "replicates": list(objective.seeds),
                "table": _identity(objective.benchmark.provenance),
                "definition": _definition(objective.benchmark) if objective.benchmark.kind == "live" else None,
                "regret": objective.known_optimum,
                "best_val_score": None if objective.best is None else objective.best[0],
                "best_test_score": None if objective.best is None else objective.best[1],
            }
            for objective in objectives
        ],
        "trials": trials,
        "seeds": seeds,
        "settings": asdict(settings),
    }


def _count(space: Any) -> int:
    """How many architectures a space has."""
    return space.count if isinstance(space, JointSpace) else len(space.canonical_codes)


def _identity(provenance: Any) -> dict[str, Any]:
    """The parts of a provenance that say which table it is: checksums if there are any, else all its plain values."""
    plain = {key: value for key, value in sorted(provenance.items()) if isinstance(value, str | int | float | bool)}
    checksums = {key: value for key, value in plain.items() if "sha256" in key}
    return checksums or plain


def _definition(benchmark: Benchmark) -> str:
    """SHA-256 of all in a space and a task that decides what a training gives; the user may edit their own files."""
    definition, task = benchmark.space_definition.definition, benchmark.task
    own: Any = definition if isinstance(definition, JointDefinition) else definition.width
    parts = [definition.stages, definition.blocks, own, task.dataset, task.parameters, task.splits, task.checksum]
    text = json.dumps([*parts, asdict(task.protocol)], sort_keys=True, default=str)
    return hashlib.sha256(text.encode()).hexdigest()


def default_folder(searchers: Sequence[str]) -> Path:
    """``runs/<date-time>-<searchers>``, with a number behind it if that is taken."""
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{'-'.join(searchers)}"[:100]
    folder = Path("runs") / stem
    number = 2
    while folder.exists():
        folder = Path("runs") / f"{stem}-{number}"
        number += 1
    return folder
