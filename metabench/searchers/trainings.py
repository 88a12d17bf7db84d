"""What a live search has trained, kept in the run folder so that nothing is trained twice."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from metabench.searchers.journal import decode_result, encode_result
from metabench.tables.result import Result

if TYPE_CHECKING:
    from metabench.tables import Benchmark

__all__ = ["Trainings"]


class Trainings:
    """Results of a live benchmark, remembered in a file of JSON lines.

    A live benchmark trains an architecture with all replicates through all epochs at once; all of that is kept.
    Several processes may append to one file. A line cut off by a killed process is passed over.

    Args:
        benchmark: trains what is not in the file.
        path: the file, ``RUN/SPACE/TASK/trainings.jsonl``; it is made when something is trained, if there is a RUN.
    """

    def __init__(self, benchmark: Benchmark, path: Path) -> None:
        self._benchmark = benchmark
        self._path = path
        self._results: dict[tuple[int, int, int], Result] = {}
        if path.exists():
            for line in path.read_text(encoding="utf-8", errors="replace").splitlines():
                try:
                    result = decode_result(json.loads(line))
                except (ValueError, KeyError, TypeError):
                    continue
                self._results[result.code, result.epoch, int(result.seed)] = result

    def find(self, code: int, epoch: int, seed: int) -> Result:
        """A result, trained now if it is not known."""
        found = self._results.get((code, epoch, seed))
        if found is None:
            found = self._benchmark.query(code, epoch=epoch, seed=seed)  # refuses what the benchmark does not have
            self._keep(code)
        return found

    def _keep(self, code: int) -> None:
        results = [
            result
            for epoch in self._benchmark.epochs
            for result in self._benchmark.query(code, epoch=epoch, seed="all")
        ]
        for result in results:
            self._results[result.code, result.epoch, int(result.seed)] = result
        if self._path.parents[2].is_dir():  # not so on a machine that does not share the folder
            self._path.parent.mkdir(parents=True, exist_ok=True)
            lines = "".join(f"{json.dumps(encode_result(result), allow_nan=False)}\n" for result in results)
            with self._path.open("a", encoding="utf-8") as file:
                file.write(lines)
