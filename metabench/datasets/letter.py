"""Letter: which capital letter sixteen integer features of its distorted image describe. Real data, shipped packed."""

from __future__ import annotations

import hashlib
import json
import sys
from pathlib import Path

import numpy as np

from metabench.content import folder
from metabench.datasets.labels import check_count
from metabench.errors import ArgumentError, ContentError
from metabench.seeding import numpy_generator

__all__ = ["COUNTS", "load_rows", "main", "make", "pack_csv"]

_ATTRIBUTES = 16
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
# fmt: off
COUNTS = (789, 766, 736, 805, 768, 775, 773, 734, 755, 747, 739, 761, 792,
          783, 753, 803, 783, 758, 748, 796, 813, 764, 752, 787, 786, 734)
# fmt: on
"""Rows of the letters A to Z, as published with the data."""


def make(samples: int = 10000, training_rows: int = 4000, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """The first ``samples`` of the 20,000 rows in an order drawn from the seed.

    Each attribute is standardised by the mean and standard deviation of the first ``training_rows`` of them: give the
    task's ``train`` rows, so that nothing is learnt from validation and test.

    Args:
        samples: rows, at most 20,000.
        training_rows: rows whose statistics standardise all.
        seed: of the order.

    Returns:
        Inputs ``(samples, 16)`` and labels 0 (A) to 25 (Z) ``(samples,)``.

    Raises:
        ArgumentError: if a parameter is out of range.
        ContentError: if the packed rows are missing or damaged.

    Reference: Frey and Slate (1991), Letter recognition using Holland-style adaptive classifiers, Machine Learning 6;
        data: Slate (1991), UCI Machine Learning Repository, https://doi.org/10.24432/C5ZP40.
    """
    attributes, labels = load_rows()
    check_count("samples", samples, 2)
    check_count("training_rows", training_rows, 2)
    if not training_rows <= samples <= len(labels):
        raise ArgumentError(
            f"samples={samples}, training_rows={training_rows}: expected training_rows <= samples <= {len(labels)}."
        )
    order = numpy_generator("letter", seed).permutation(len(labels))[:samples]
    x = attributes[order].astype(np.float64)
    return (x - x[:training_rows].mean(0)) / x[:training_rows].std(0), labels[order]


def load_rows(home: Path | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Unpacks all rows.

    Args:
        home: folder of the packed file and its manifest; the shipped one by default.

    Returns:
        Attributes uint8 ``(20000, 16)`` from 0 to 15, and labels int64 ``(20000,)``, sorted by label, then attributes.

    Raises:
        ContentError: if a file is missing, or is not the one the manifest names.
    """
    home = folder("tasks") / "letter" if home is None else home
    try:
        expected = json.loads((home / "manifest.json").read_text(encoding="utf-8"))["sha256"]
        content = (home / "rows.npy").read_bytes()
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ContentError(
            f"{home}: the letter rows or their manifest cannot be read; install metabench again."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != expected:
        raise ContentError(
            f"{home / 'rows.npy'}: its checksum is {found[:12]}..., expected {str(expected)[:12]}...; "
            "the file is damaged, install metabench again."
        )
    packed = np.load(home / "rows.npy", allow_pickle=False)
    attributes = np.stack([packed[:, 1:] >> 4, packed[:, 1:] & 15], axis=-1).reshape(len(packed), _ATTRIBUTES)
    return attributes, packed[:, 0].astype(np.int64)


def pack_csv(source: Path, home: Path) -> Path:
    """Packs rows of text into ``rows.npy`` and ``manifest.json``, and checks them against the published class counts.

    A packed row is the label and the 16 attributes, two in a byte, first one high. The rows are sorted, so that the
    file does not depend on the order in which a copy of the data lists them.

    Args:
        source: a row a line, comma-separated: 16 integers and the letter, the letter first or last. Lines that begin
            with ``@`` are skipped.
        home: folder to write to; made if needed.

    Returns:
        The packed file.

    Raises:
        ContentError: if the source cannot be read.
        ArgumentError: naming the line that is malformed, or if the rows are not the published ones.
    """
    try:
        lines = source.read_text(encoding="ascii").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ContentError(f"{source}: cannot be read as text: {error}.") from error
    rows = []
    for number, line in enumerate(lines, start=1):
        cells = [cell.strip() for cell in line.split(",")]
        if line.startswith("@") or cells == [""]:
            continue
        values = cells[1:] if cells[0].isalpha() else cells[:-1]
        letter = cells[0] if cells[0].isalpha() else cells[-1]
        valid = len(values) == _ATTRIBUTES and all(value.isdigit() and int(value) < 16 for value in values)
        if not valid or len(letter) != 1 or letter not in _LETTERS:
            raise ArgumentError(f"{source}:{number}: expected a letter and {_ATTRIBUTES} integers from 0 to 15.")
        rows.append((_LETTERS.index(letter), *map(int, values)))
    table = np.array(sorted(rows), dtype=np.uint8).reshape(-1, 1 + _ATTRIBUTES)
    counts = np.bincount(table[:, 0], minlength=len(COUNTS)).tolist()
    if tuple(counts) != COUNTS:
        raise ArgumentError(f"{source}: {len(rows)} rows with class counts {counts}; expected those published, 20,000.")
    home.mkdir(parents=True, exist_ok=True)
    target = home / "rows.npy"
    np.save(target, np.column_stack([table[:, 0], table[:, 1::2] << 4 | table[:, 2::2]]), allow_pickle=False)
    manifest = {
        "schema": 1,
        "file": target.name,
        "sha256": hashlib.sha256(target.read_bytes()).hexdigest(),
        "rows": len(rows),
        "bytes_a_row": "label 0-25, then attributes 1-16 of 0-15, two in a byte, the first in the high half",
        "source": "https://doi.org/10.24432/C5ZP40",
        "licence": "CC BY 4.0",
    }
    (home / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n", encoding="utf-8")
    return target


def main(argv: list[str] | None = None) -> int:
    """``python -m metabench.datasets.letter SOURCE.csv [FOLDER]``: packs the rows into the folder of the task."""
    words = sys.argv[1:] if argv is None else argv
    if len(words) not in (1, 2):
        sys.stderr.write("usage: python -m metabench.datasets.letter SOURCE.csv [FOLDER]\n")
        return 2
    try:
        target = pack_csv(Path(words[0]), Path(words[1]) if len(words) == 2 else folder("tasks") / "letter")
    except (ArgumentError, ContentError) as error:
        sys.stderr.write(f"{error}\n")
        return 2
    sys.stdout.write(f"{target}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
