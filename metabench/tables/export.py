"""A packed table as one long Parquet or CSV file: a row an architecture, task, seed and epoch."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from metabench.errors import ArgumentError, OptionalDependencyError, TableError
from metabench.registry import did_you_mean
from metabench.spaces import Space, load_tabular_space
from metabench.spaces.architecture import SKIP
from metabench.tables.result import METRICS
from metabench.tables.table import Table, find_table, open_table

__all__ = ["ExportReport", "export_columns", "export_table"]

_ARCHITECTURES = 128  # in a chunk: at 5 seeds and 12 epochs 7,680 rows, about 1 MB


@dataclass(frozen=True)
class ExportReport:
    """What an export wrote.

    Attributes:
        space: space id.
        tasks: task ids.
        rows: rows written.
        missing: trainings (architecture x task x seed) that the table does not have yet; they have no rows.
        path: the file.
        bytes: its size.
    """

    space: str
    tasks: tuple[str, ...]
    rows: int
    missing: int
    path: Path
    bytes: int


def export_columns(space: Space) -> tuple[str, ...]:
    """The columns of an export: what a row is about, then its numbers, in the units of a ``Result``."""
    stages = tuple(f"stage{i + 1}" for i in range(space.stages))
    return ("space", "task", "architecture", "code", *stages, "seed", "epoch", *METRICS)


def export_table(space: str, to: str | Path, *, tasks: Sequence[str] | None = None) -> ExportReport:
    """Writes the finished rows of a packed table to one file, a chunk at a time.

    Args:
        space: id, or path of the user's own definition.
        to: the file; ``.parquet`` (needs the ``[parquet]`` extra) or ``.csv``. One that exists is replaced.
        tasks: ids; all in the table if left out.

    Raises:
        ArgumentError: if the file has another suffix, or a task is not in the table.
        OptionalDependencyError: for Parquet without pyarrow.
        TableError: if there is no table, it is damaged or without a finished row, or the file cannot be written.
    """
    path = Path(to).expanduser()
    if path.suffix not in _WRITERS:
        raise ArgumentError(f"{str(to)!r}: expected a file that ends in {' or '.join(_WRITERS)}.")
    if path.is_dir():
        raise ArgumentError(f"{str(to)!r} is a folder; expected a file.")
    write = _WRITERS[path.suffix]
    definition = load_tabular_space(space)
    place = find_table(definition.id)
    chosen = _chosen(definition, place, tasks)
    counts = [0, 0]
    partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with write(partial, definition, chosen[0][1].manifest) as add:
            for task, table in chosen:
                for columns, missing in _chunks(definition, table, task):
                    counts[0] += len(columns["code"])
                    counts[1] += missing
                    if len(columns["code"]):
                        add(columns)
        if not counts[0]:
            raise TableError(f"{place}: no finished row to export; finish it with 'metabench build --space {space}'.")
        os.replace(partial, path)
    except OSError as error:
        raise TableError(
            f"{path}: cannot be written: {error.strerror or error}; make room or choose another place."
        ) from error
    finally:
        with suppress(OSError):
            partial.unlink(missing_ok=True)
    names = tuple(task for task, _ in chosen)
    return ExportReport(definition.id, names, counts[0], counts[1], path, path.stat().st_size)


def _chosen(space: Space, place: Path, tasks: Sequence[str] | None) -> list[tuple[str, Table]]:
    """The tasks to write, each with its part of the table checked."""
    known = list(open_table(place, "").manifest["tasks"])  # the manifest alone: no task has this name
    for name in tasks or ():
        if name not in known:
            raise ArgumentError(
                f"task {name!r} is not in the table of {space.id!r}.{did_you_mean(name, known)} "
                f"Known: {', '.join(known)}."
            )
    opened = [(task, open_table(place, task)) for task in known if not tasks or task in tasks]
    if tuple(opened[0][1].manifest["blocks"]) != space.blocks:
        raise TableError(f"{place}: its blocks are not those of space {space.id!r}; build the table again.")
    return opened


def _chunks(space: Space, table: Table, task: str) -> Iterator[tuple[dict[str, Any], int]]:
    """The rows of one task in parts: a column a name, strings as lists, and the trainings that are missing."""
    about = table.manifest["tasks"][task]
    index, epochs, seeds = list(table.manifest["tasks"]).index(task), about["epochs"], about["seeds"]
    for start in range(0, len(space.canonical_codes), _ARCHITECTURES):
        codes = space.canonical_codes[start : start + _ARCHITECTURES]
        part = slice(start, start + len(codes))
        results = table.results[index, part, : len(seeds), : len(epochs)]
        finished = ~np.isnan(results[..., 0]).any(axis=-1)
        a, s = np.nonzero(finished)
        rows, count = len(a) * len(epochs), len(epochs)
        blocks = [space.blocks_of[code] for code in codes.tolist()]
        names = [(*own, *(SKIP,) * (space.stages - len(own))) for own in blocks]
        of = np.repeat(a, count).tolist()
        numbers = np.concatenate(
            [
                results[a, s].reshape(rows, results.shape[-1]),
                table.seconds[index, part, : len(seeds), :count][a, s].reshape(rows, 1),
                np.repeat(table.costs[index, part][a], count, axis=0),
            ],
            axis=-1,
        )
        columns: dict[str, Any] = {
            "space": [space.id] * rows,
            "task": [task] * rows,
            "architecture": [",".join(blocks[i]) or SKIP for i in of],
            "code": np.repeat(codes[a], count),
            **{f"stage{stage + 1}": [names[i][stage] for i in of] for stage in range(space.stages)},
            "seed": np.repeat(np.array(seeds)[s], count),
            "epoch": np.tile(np.array(epochs), len(a)),
            **{name: np.ascontiguousarray(numbers[:, i]) for i, name in enumerate(METRICS)},
        }
        yield columns, int((~finished).sum())


@contextmanager
def _csv(path: Path, space: Space, manifest: dict[str, Any]) -> Iterator[Any]:
    """Comma-separated, a header line, UTF-8; numbers have the digits that give the same float32; NaN is empty."""
    with open(path, "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(export_columns(space))

        def cells(column: Any) -> list[Any]:
            if isinstance(column, list) or column.dtype != np.float32:
                return list(column)
            return ["" if text == "nan" else text for text in column.astype(str).tolist()]

        yield lambda columns: writer.writerows(zip(*map(cells, columns.values()), strict=True))


@contextmanager
def _parquet(path: Path, space: Space, manifest: dict[str, Any]) -> Iterator[Any]:
    """Parquet with dictionaries for the words, zstd, and what the table is in the schema's metadata."""
    try:
        import pyarrow  # pyright: ignore[reportMissingImports]
        import pyarrow.parquet as parquet  # pyright: ignore[reportMissingImports]
    except ImportError as error:
        raise OptionalDependencyError(
            "a Parquet file needs pyarrow; install it with pip install 'metabench[parquet]', or export to .csv."
        ) from error
    kinds = {"code": pyarrow.int64(), "seed": pyarrow.int32(), "epoch": pyarrow.int32()}
    words = pyarrow.dictionary(pyarrow.int32(), pyarrow.string())
    fields = [
        (name, kinds.get(name, pyarrow.float32() if name in METRICS else words)) for name in export_columns(space)
    ]
    kept = ("schema_version", "space", "command", "licence", "protocols", "files", "provenance")
    about = {"metabench": json.dumps({name: manifest[name] for name in kept if name in manifest})}
    schema = pyarrow.schema(fields, metadata=about)
    with parquet.ParquetWriter(path, schema, compression="zstd") as writer:

        def add(columns: dict[str, Any]) -> None:
            arrays = [pyarrow.array(columns[name], type=kind) for name, kind in fields]
            writer.write_table(pyarrow.Table.from_arrays(arrays, schema=schema))

        yield add


_WRITERS = {".parquet": _parquet, ".csv": _csv}
