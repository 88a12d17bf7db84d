"""Exports hold what queries answer, in both formats; bad destinations are one clear line."""

import csv
import errno
import os
import sys
from pathlib import Path

import numpy as np
import pytest

import metabench
from metabench.cli.main import main
from metabench.errors import ArgumentError, MissingResultError, OptionalDependencyError, TableError
from metabench.tables import export, export_table
from metabench.tables.result import METRICS

STAGES = ["stage1", "stage2"]


def test_a_csv_row_is_what_a_query_answers(table: Path) -> None:
    report = export_table("cells2-v1", "out/all.csv")
    with open("out/all.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert list(rows[0]) == ["space", "task", "architecture", "code", *STAGES, "seed", "epoch", *METRICS]
    assert (len(rows), report.path, report.bytes) == (
        report.rows,
        Path("out/all.csv"),
        Path("out/all.csv").stat().st_size,
    )
    # Groups of up to 25 architectures of two blocks; the last one has no rows, in 3 + 5 seeds.
    missing = report.missing // 8
    assert report.missing == 8 * missing
    assert 1 <= missing <= 25
    assert report.rows == (157 - missing) * 12 * (3 + 5)
    for row in rows[:: len(rows) // 97]:
        bench = metabench.open(f"{row['space']}/{row['task']}")
        result = bench.query(int(row["code"]), epoch=int(row["epoch"]), seed=int(row["seed"]))
        assert [np.float32(row[name]) for name in METRICS] == [np.float32(getattr(result, name)) for name in METRICS]
        assert row["architecture"] == (",".join(result.architecture) or "skip")
        assert [row[name] for name in STAGES] == [*result.architecture, "skip", "skip"][:2]
        assert bench.space_definition.code({name: row[name] for name in STAGES}) == result.code
    keys = {(row["task"], row["code"], row["seed"], row["epoch"]) for row in rows}
    assert len(keys) == len(rows)


def test_numbers_that_are_none(table: Path) -> None:
    array = np.load(table / "results.npy")
    array[0, 0, 0, :, 0] = np.inf
    costs = np.load(table / "costs.npy")
    costs[0, 0, 3] = np.nan
    np.save(table / "results.npy", array)
    np.save(table / "costs.npy", costs)
    _sign(table)
    export_table("cells2-v1", "all.csv", tasks=["mnist1d-v1"])
    with open("all.csv", newline="", encoding="utf-8") as file:
        row = next(csv.DictReader(file))
    assert (row["architecture"], row["train_loss"], row["latency_s"]) == ("skip", "inf", "")


def _sign(table: Path) -> None:
    import hashlib
    import json

    manifest = json.loads((table / "manifest.json").read_text())
    for i, about in enumerate(manifest["tasks"].values()):
        about["sha256"] = {n: hashlib.sha256(np.load(table / n)[i].tobytes()).hexdigest() for n in about["sha256"]}
    (table / "manifest.json").write_text(json.dumps(manifest))


def test_parquet_holds_the_same_as_csv(table: Path) -> None:
    parquet = pytest.importorskip("pyarrow.parquet")
    export_table("cells2-v1", "all.parquet")
    export_table("cells2-v1", "all.csv")
    found = parquet.read_table("all.parquet")
    with open("all.csv", newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert found.num_rows == len(rows)
    assert found.column_names == list(rows[0])
    for name in found.column_names:
        kind = np.float32 if name in METRICS else type(found[name][0].as_py())
        assert found[name].to_pylist() == [kind(row[name]) for row in rows]
    assert b'"space": "cells2-v1"' in found.schema.metadata[b"metabench"]


def test_chunks_change_nothing(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    export_table("cells2-v1", "one.csv")
    monkeypatch.setattr(export, "_ARCHITECTURES", 10)
    export_table("cells2-v1", "two.csv")
    assert Path("one.csv").read_bytes() == Path("two.csv").read_bytes()


def test_one_task_alone(table: Path) -> None:
    report = export_table("cells2-v1", "one.csv", tasks=["spirals-v1"])
    assert report.tasks == ("spirals-v1",)
    assert {line.split(",")[1] for line in Path("one.csv").read_text().splitlines()} == {"task", "spirals-v1"}


def test_parquet_without_pyarrow(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(OptionalDependencyError, match=r"pip install 'metabench\[parquet\]', or export to \.csv"):
        export_table("cells2-v1", "all.parquet")
    assert os.listdir() == ["surrogates"]


def test_bad_destinations(table: Path) -> None:
    for name in ("all.xlsx", "all", "all.csv.gz"):
        with pytest.raises(ArgumentError, match=r"expected a file that ends in \.parquet or \.csv"):
            export_table("cells2-v1", name)
    Path("folder.csv").mkdir()
    with pytest.raises(ArgumentError, match="is a folder; expected a file"):
        export_table("cells2-v1", "folder.csv")
    with pytest.raises(TableError, match=r"all\.csv: cannot be written: "):
        export_table("cells2-v1", "surrogates/cells2-v1/table/manifest.json/all.csv")
    with pytest.raises(ArgumentError, match=r"task 'spiral-v1' is not in .* Did you mean 'spirals-v1'"):
        export_table("cells2-v1", "all.csv", tasks=["spiral-v1"])


def test_a_disk_that_fills_leaves_the_older_file(table: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("all.csv").write_text("as it was")

    class Full:
        def writerow(self, row: object) -> None: ...

        def writerows(self, rows: object) -> None:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(csv, "writer", lambda *args, **options: Full())
    with pytest.raises(TableError, match=r"all\.csv: cannot be written: No space left on device; make room"):
        export_table("cells2-v1", "all.csv")
    assert Path("all.csv").read_text() == "as it was"
    assert sorted(os.listdir()) == ["all.csv", "surrogates"]


def test_a_table_without_rows(table: Path) -> None:
    array = np.load(table / "results.npy")
    np.save(table / "results.npy", np.full_like(array, np.nan))
    _sign(table)
    with pytest.raises(
        TableError, match="no finished row to export; finish it with 'metabench build --space cells2-v1'"
    ):
        export_table("cells2-v1", "all.csv")
    assert os.listdir() == ["surrogates"]
    bench = metabench.open("cells2-v1/spirals-v1")
    with pytest.raises(MissingResultError):
        bench.query(0)
    assert bench.best(3) == []


def test_an_altered_table_is_not_exported(table: Path) -> None:
    array = np.load(table / "results.npy")
    array[1, 0, 0, 0, 0] += 1
    np.save(table / "results.npy", array)
    with pytest.raises(TableError, match="altered"):
        export_table("cells2-v1", "all.csv")
    assert export_table("cells2-v1", "all.csv", tasks=["mnist1d-v1"]).rows > 0


def test_the_command(table: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "cells2-v1", "--to", "all.csv", "--tasks", "mnist1d-v1"]) == 0
    first, second = capsys.readouterr().out.splitlines()
    rows = len(Path("all.csv").read_text().splitlines()) - 1
    assert first == f"all.csv: {rows:,} rows of cells2-v1 on mnist1d-v1"
    assert second.endswith(f"{157 * 3 - rows // 12} trainings are missing in the table and have no rows.")
    assert main(["export", "cells2-v1", "--to", "all.txt"]) == 2
    assert capsys.readouterr().err == ("metabench: error: 'all.txt': expected a file that ends in .parquet or .csv.\n")
