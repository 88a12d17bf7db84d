"""What a comparison of searchers will do: checked arguments, the plan of ``run.json``, and its units of work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from metabench.errors import ArgumentError
from metabench.searchers import SEARCHERS
from metabench.searchers.folder import read_trials, trials_path, write_trials
from metabench.searchers.loop import run_loop
from metabench.searchers.objective import Objective
from metabench.seeding import derive

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
        trials: at most so many.
        folder: the run folder.
    """

    searcher: str
    maker: type[Searcher]
    benchmark: str | Benchmark
    task: str
    kind: str
    seed: int
    trials: int
    folder: Path

    @property
    def path(self) -> Path:
        """The file of its trials."""
        return trials_path(self.folder, self.task, self.searcher, self.seed)

    def read(self) -> list[dict[str, Any]] | None:
        """Its trials, or None if it has not finished."""
        return read_trials(self.path)

    def run(self, objective: Objective) -> list[dict[str, Any]]:
        """Searches and writes the trials."""
        benchmark = objective.benchmark
        searcher = self.maker(
            objective.space,
            epochs=tuple(benchmark.epochs),
            seeds=tuple(benchmark.seeds),
            seed=derive("search", self.searcher, self.task, self.seed),
            trials=self.trials,
        )
        trials = run_loop(searcher, objective, self.trials)
        write_trials(self.path, trials)
        return trials


def open_objective(benchmark: str | Benchmark, kind: str) -> Objective:
    """Opens a benchmark by its id (or takes one that is open) for searches."""
    if isinstance(benchmark, str):
        from metabench.tables import open_benchmark

        benchmark = open_benchmark(benchmark, kind=kind)  # type: ignore[arg-type]  # it checks the kind
    return Objective(benchmark)


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
    searchers: Sequence[str], benchmarks: Sequence[Benchmark], kind: str, trials: int, seeds: int
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
                "id": benchmark.id,
                "space": benchmark.space_definition.id,
                "architectures": len(benchmark.space_definition.canonical_codes),
                "epochs": [int(epoch) for epoch in benchmark.epochs],
                "replicates": [int(seed) for seed in benchmark.seeds],
                "table": _identity(benchmark.provenance),
            }
            for benchmark in benchmarks
        ],
        "trials": trials,
        "seeds": seeds,
    }


def _identity(provenance: Any) -> dict[str, Any]:
    """The parts of a provenance that say which table it is: checksums if there are any, else all its plain values."""
    plain = {key: value for key, value in sorted(provenance.items()) if isinstance(value, str | int | float | bool)}
    checksums = {key: value for key, value in plain.items() if "sha256" in key}
    return checksums or plain


def default_folder(searchers: Sequence[str]) -> Path:
    """``runs/<date-time>-<searchers>``, with a number behind it if that is taken."""
    stem = f"{datetime.now():%Y%m%d-%H%M%S}-{'-'.join(searchers)}"[:100]
    folder = Path("runs") / stem
    number = 2
    while folder.exists():
        folder = Path("runs") / f"{stem}-{number}"
        number += 1
    return folder
