"""What is printed: one JSON document, or a table of a fixed width."""

import json
import math
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest

from metabench.cli.numbers import METRICS, write_number
from metabench.cli.output import Column, plain, print_json, print_table
from metabench.tables.result import ARCHITECTURE_METRICS, TRAINING_METRICS


class Colour(str, Enum):
    RED = "red"


class Spread(NamedTuple):
    lower: float | None
    upper: float | None


@dataclass(frozen=True)
class Thing:
    score: float
    colour: Colour


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (math.nan, None),
        (-math.inf, None),
        (np.float32(math.nan), None),
        (np.float32(0.5), 0.5),
        (np.int64(3), 3),
        (np.array([[1.0, math.nan]]), [[1.0, None]]),
        (True, True),
        (Colour.RED, "red"),
        (Path("a") / "b", "a/b"),
        (Thing(math.inf, Colour.RED), {"score": None, "colour": "red"}),
        (Spread(None, 2.0), {"lower": None, "upper": 2.0}),
        ({25: (1, 2)}, {"25": [1, 2]}),
    ],
)
def test_plain_gives_json_types(value: object, expected: object) -> None:
    found = plain(value)
    assert found == expected
    assert type(found) is type(expected)


def test_json_is_one_strict_document(capsys: pytest.CaptureFixture[str]) -> None:
    print_json({"a": math.nan, "b": [np.float64(1.5)]})
    assert json.loads(capsys.readouterr().out, parse_constant=pytest.fail) == {"a": None, "b": [1.5]}


def test_a_table_off_a_terminal_is_plain_and_at_most_120_wide(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    monkeypatch.setenv("FORCE_COLOR", "1")
    print_table("title", [Column("name", "left", wrap=True), Column("n")], [["word " * 60, "7"]], caption="below")
    out = capsys.readouterr().out
    assert "\x1b" not in out
    assert 100 < max(map(len, out.splitlines())) <= 120
    assert out.startswith("title\n")
    assert out.endswith("below\n")


def test_cells_are_no_markup(capsys: pytest.CaptureFixture[str]) -> None:
    print_table("t", [Column("unit [s]", "left")], [["[red]x[/red]"]])
    out = capsys.readouterr().out
    assert "unit [s]" in out
    assert "[red]x[/red]" in out


def test_missing_numbers_are_dashes() -> None:
    assert write_number(math.nan, ".2f") == "-"
    assert write_number(None, ".2f") == "-"
    assert METRICS["unconverged"].write(0.125) == "12.50"
    assert METRICS["latency_s"].write(0.0015) == "1.500"


def test_every_metric_of_a_result_has_a_face() -> None:
    assert set(METRICS) == {*TRAINING_METRICS, "train_seconds", *ARCHITECTURE_METRICS}


def test_a_narrow_terminal_cuts_no_number(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metabench.cli.output._PLAIN_WIDTH", 30)
    print_table("t", [Column("name", "left", wrap=True), *[Column("n")] * 5], [["word " * 9, *["123456789"] * 5]])
    out = capsys.readouterr().out
    assert out.count("123456789") == 5
    assert out.count("word") == 9
