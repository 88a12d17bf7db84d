"""Damaged, foreign and half-written tables, and a disk that fills: each is one clear line, and nothing is lost."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import metabench
from metabench.errors import TableError
from metabench.tables import pack_table
from metabench.tables.shards import write_together
from metabench.tables.table import open_table

NAME = "cells2-v1/mnist1d-v1"


def change(table: Path, **entries: Any) -> None:
    path = table / "manifest.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **entries}))


def test_a_truncated_file_names_its_checksum(table: Path) -> None:
    path = table / "results.npy"
    listed = json.loads((table / "manifest.json").read_text())["files"]["results.npy"]
    path.write_bytes(path.read_bytes()[:-8])
    said = rf"results\.npy: {listed['bytes'] - 8} of {listed['bytes']} bytes.*{listed['sha256'][:12]}.*truncated"
    with pytest.raises(TableError, match=said):
        metabench.open(NAME)


@pytest.mark.parametrize("name", ["results", "seconds", "costs"])
def test_an_altered_number_is_found_in_its_own_task_only(table: Path, name: str) -> None:
    path = table / f"{name}.npy"
    array = np.load(path)
    array[1].flat[0] += 1  # spirals-v1
    np.save(path, array)
    metabench.open(NAME)
    for opened in (lambda: metabench.open("cells2-v1/spirals-v1"), lambda: open_table(table)):
        with pytest.raises(TableError, match=rf"{name}\.npy: checksum .* for spirals-v1, not .*: altered"):
            opened()


def test_a_header_that_means_other_numbers_is_found(table: Path) -> None:
    path = table / "results.npy"
    data = path.read_bytes()
    path.write_bytes(data.replace(b"'<f4'", b"'>f4'", 1))  # the same bytes after it
    with pytest.raises(TableError, match=r"results\.npy: cannot be read \(>f4"):
        metabench.open(NAME)
    path.write_bytes(data.replace(b"'fortran_order': False", b"'fortran_order': True ", 1))
    with pytest.raises(TableError, match=r"results\.npy: cannot be read"):
        metabench.open(NAME)
    path.write_bytes(b"no array" + data[8:])
    with pytest.raises(TableError, match=r"results\.npy: cannot be read"):
        metabench.open(NAME)
    path.unlink()
    with pytest.raises(TableError, match=r"results\.npy: cannot be read \(.*No such file"):
        metabench.open(NAME)


def test_other_schemas(table: Path) -> None:
    change(table, schema_version=99)
    with pytest.raises(
        TableError, match=r"table schema 99 is newer than this metabench reads \(2\); upgrade metabench"
    ):
        metabench.open(NAME)
    change(table, schema_version=1)
    with pytest.raises(TableError, match=r"schema 1 is older than this metabench reads \(2\); pack the table again"):
        metabench.open(NAME)


@pytest.mark.parametrize(
    "entries",
    [
        {"schema_version": "2"},
        {"schema_version": None},
        {"tasks": []},
        {"tasks": {}},
        {"tasks": {"mnist1d-v1": {"epochs": [1], "seeds": [0]}}},
        {"files": {}},
        {"architectures": "many"},
        {"seeds": [0]},
    ],
)
def test_a_manifest_with_something_wrong_in_it(table: Path, entries: dict[str, Any]) -> None:
    change(table, **entries)
    with pytest.raises(TableError, match=r"manifest\.json: not a readable manifest .*pack the table again"):
        metabench.open(NAME)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", '{"schema_version": 2}'])
def test_a_manifest_that_is_none(table: Path, text: str) -> None:
    (table / "manifest.json").write_text(text)
    with pytest.raises(TableError, match="not a readable manifest"):
        metabench.open(NAME)


def test_axes_that_are_not_those_of_the_arrays(table: Path) -> None:
    change(table, architectures=156)
    with pytest.raises(TableError, match=r"results\.npy: cannot be read \(<f4 \(2, 157, 5, 12, 7\), not <f4 \(2, 156,"):
        metabench.open(NAME)


def test_a_damaged_shard_is_named(table: Path) -> None:
    shard = min((table.parent / "shards" / "mnist1d-v1").glob("*.npz"))
    shard.write_bytes(shard.read_bytes()[:-100])
    with pytest.raises(TableError, match=rf"{shard.name}: damaged rows .*delete the file and build again"):
        pack_table("cells2-v1", out=table.parent)


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.parametrize("call", [1, 2, 3, 4])
def test_a_disk_that_fills_while_packing_leaves_the_older_table(
    table: Path, monkeypatch: pytest.MonkeyPatch, call: int
) -> None:
    before = contents(table)
    max((table.parent / "shards" / "spirals-v1").glob("*.npz")).unlink()  # so that the new table differs
    calls: list[int] = []

    def fsync(handle: int) -> None:
        calls.append(handle)
        if len(calls) == call:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", fsync)
    with pytest.raises(TableError, match="cannot be written: No space left on device; make room"):
        pack_table("cells2-v1", out=table.parent)
    assert contents(table) == before
    monkeypatch.setattr(os, "fsync", lambda handle: None)
    assert metabench.open(NAME).seeds == (0, 1, 2)
    pack_table("cells2-v1", out=table.parent)
    assert contents(table)["results.npy"] != before["results.npy"]


def test_a_real_limit_on_file_size(tmp_path: Path) -> None:
    script = (
        "import resource, signal, sys\nfrom pathlib import Path\nfrom metabench.errors import TableError\n"
        "from metabench.tables.shards import write_together\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\nresource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))\n"
        "try:\n    write_together({Path('small'): b'x' * 500, Path('large'): b'x' * 5000})\n"
        "except TableError as error:\n    print(error)\n"
    )
    (tmp_path / "small").write_text("as it was")
    command, path = [sys.executable, "-c", script], str(Path(metabench.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=True)
    assert (
        done.stdout == "large: cannot be written: File too large; make room or choose another folder, and run again.\n"
    )
    assert contents(tmp_path) == {"small": b"as it was"}


def test_files_are_written_together(tmp_path: Path) -> None:
    write_together({tmp_path / "a" / "one": b"1", tmp_path / "two": b"2"})
    assert (tmp_path / "a" / "one").read_bytes() + (tmp_path / "two").read_bytes() == b"12"
