"""The letter rows: those that were published, packed without loss, and a damaged file is noticed."""

import shutil
from pathlib import Path

import numpy as np
import pytest

from metabench.content import folder
from metabench.datasets import load_splits, load_task
from metabench.datasets.letter import COUNTS, load_rows, main, make, pack_csv
from metabench.errors import ArgumentError, ContentError


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(folder("tasks") / "letter", tmp_path / "letter"))


def test_rows_are_those_published() -> None:
    x, y = load_rows()
    assert x.shape == (20000, 16)
    assert (x.min(), x.max()) == (0, 15)
    assert tuple(np.bincount(y)) == COUNTS
    # The first two rows of UCI's file.
    for letter, row in {
        "T": (2, 8, 3, 5, 1, 8, 13, 0, 6, 6, 10, 8, 0, 8, 0, 8),
        "I": (5, 12, 3, 7, 2, 10, 5, 5, 4, 13, 3, 9, 2, 8, 4, 10),
    }.items():
        assert np.any(np.all(x[y == ord(letter) - ord("A")] == row, axis=-1)), letter


def test_the_file_is_small() -> None:
    assert (folder("tasks") / "letter" / "rows.npy").stat().st_size <= 320_000


@pytest.mark.parametrize("label_first", [True, False])
def test_packing_the_rows_in_another_order_gives_the_same_file(tmp_path: Path, label_first: bool) -> None:
    x, y = load_rows()
    lines = ["@relation letter"]
    for i in np.random.Generator(np.random.PCG64(0)).permutation(len(y)):
        letter, values = chr(ord("A") + y[i]), ",".join(map(str, x[i]))
        lines.append(f"{letter},{values}" if label_first else f"{values}, {letter}")
    source = tmp_path / "letter.csv"
    source.write_text("\n".join(lines))
    assert main([str(source), str(tmp_path / "packed")]) == 0
    for name in ("rows.npy", "manifest.json"):
        assert (tmp_path / "packed" / name).read_bytes() == (folder("tasks") / "letter" / name).read_bytes()


def test_standardised_by_the_training_rows_alone() -> None:
    splits = load_splits(load_task("letter-v1"))
    np.testing.assert_allclose(splits.train_x.mean(0), 0, atol=1e-5)
    np.testing.assert_allclose(splits.train_x.std(0), 1, atol=1e-5)
    assert np.abs(splits.val_x.mean(0)).max() > 1e-3
    assert splits.classes == 26


def test_order_depends_on_the_seed_alone() -> None:
    (x, y), (again, _), (other, _) = make(), make(), make(seed=1)
    assert x.tobytes() == again.tobytes()
    assert not np.allclose(x, other)
    assert np.bincount(y, minlength=26).min() > 300  # half of 734 is 367, sd 14


@pytest.mark.parametrize("parameters", [{"samples": 20001}, {"training_rows": 10001}, {"samples": 1}])
def test_bad_parameters(parameters: dict[str, int]) -> None:
    with pytest.raises(ArgumentError, match="expected"):
        make(**parameters)


def test_a_damaged_file_is_noticed(copy: Path) -> None:
    content = bytearray((copy / "rows.npy").read_bytes())
    content[-1] ^= 1
    (copy / "rows.npy").write_bytes(content)
    with pytest.raises(ContentError, match="checksum"):
        load_rows(copy)
    (copy / "manifest.json").write_text("{}")
    with pytest.raises(ContentError, match="manifest"):
        load_rows(copy)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("A," + ",".join(["1"] * 15), "csv:1: expected a letter and 16 integers"),
        ("A," + ",".join(["16"] * 16), "csv:1"),
        ("a," + ",".join(["1"] * 16), "csv:1"),
        ("A," + ",".join(["1"] * 16), "1 rows with class counts"),
        ("", "0 rows"),
    ],
)
def test_bad_sources(tmp_path: Path, text: str, message: str) -> None:
    source = tmp_path / "rows.csv"
    source.write_text(text)
    with pytest.raises(ArgumentError, match=message):
        pack_csv(source, tmp_path / "out")
    with pytest.raises(ContentError, match="cannot be read"):
        pack_csv(tmp_path / "none.csv", tmp_path / "out")
    assert not (tmp_path / "out").exists()
