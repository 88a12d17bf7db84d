"""``metabench build`` and ``pack``: what they print of a made-up report."""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

import metabench.tables
from metabench.cli.main import main


@dataclass
class MadeUpReport:
    space: str
    planned: int = 471
    done_before: int = 71
    trained: int = 400
    seconds: float = 100.0
    folder: Path = Path("surrogates") / "cells2-v1"
    packed: bool = False
    samples: int | None = None


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What ``build_table`` was called with."""
    seen: list[dict[str, Any]] = []

    def build_table(space: str, tasks: list[str] | None, **options: Any) -> MadeUpReport:
        seen.append({"space": space, "tasks": tasks, **options})
        return MadeUpReport(space)

    monkeypatch.setattr(metabench.tables, "build_table", build_table, raising=False)
    return seen


def test_build_says_what_was_done_and_what_is_next(
    calls: list[dict[str, Any]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["build", "--space", "cells2-v1", "--seeds", "2", "--scheduler", "tcp://host:1"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("cells2-v1: 471 trainings in all, 71 were done, 400 trained now in 100 s, 4.0 a second.\n")
    assert out.endswith("next: metabench pack --space cells2-v1\n")
    assert calls == [
        {
            "space": "cells2-v1",
            "tasks": None,
            "seeds": 2,
            "samples": None,
            "workers": None,
            "scheduler": "tcp://host:1",
            "queue": None,
            "device": "cpu",
            "group": None,
            "progress": False,
            "dry_run": False,
        }
    ]


@pytest.mark.usefixtures("calls")
def test_a_dry_run_says_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--space", "cells2-v1", "--dry-run"]) == 0
    assert capsys.readouterr().out == "cells2-v1: 471 trainings in all, 71 done, 400 to do.\n"


@pytest.mark.usefixtures("calls")
def test_the_report_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--space", "cells2-v1", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert (document["trained"], document["dry_run"]) == (400, False)


def test_pack_says_where_and_how_large(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    (tmp_path / "table.bin").write_bytes(bytes(2_500_000))
    monkeypatch.setattr(metabench.tables, "pack_table", lambda space, tasks: tmp_path, raising=False)
    monkeypatch.chdir(tmp_path.parent)
    assert main(["pack", "--space", "cells2-v1"]) == 0
    assert capsys.readouterr().out == f"packed cells2-v1: {tmp_path.name} (2.50 MB)\n"


def test_an_unknown_space_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["build", "--space", "cells3-v1", "--dry-run"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("metabench: error: unknown space 'cells3-v1'. Did you mean")
    assert captured.err.count("\n") == 1
