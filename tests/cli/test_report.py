"""``metabench report`` on a real search of the shipped table, and its mistakes."""

import json
from pathlib import Path

import pytest

from metabench import content
from metabench.cli.main import main

NAME = "cells2-v1/mnist1d-v1"
shipped = pytest.mark.skipif(
    not (content.folder("surrogates") / "cells2-v1" / "table" / "manifest.json").is_file(),
    reason="the table of cells2-v1 is not built here",
)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Path:
    monkeypatch.chdir(tmp_path)
    words = ["search", "random", "regularized-evolution", "--on", NAME, "--trials", "25", "--seeds", "3"]
    assert main([*words, "--out", "run"]) == 0
    capsys.readouterr()
    return tmp_path / "run"


@shipped
def test_the_page_lies_in_the_run_folder(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "run"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"{NAME}\n")
    assert "page: run/report.html (" in out
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert "metabench report run" in page
    assert "Score against cost" in page  # the table is there, so trade-offs are


@shipped
def test_a_report_leaves_the_folder_resumable(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "run"]) == 0
    words = ["search", "random", "regularized-evolution", "--on", NAME, "--trials", "25", "--seeds", "3"]
    assert main([*words, "--out", "run"]) == 0


@shipped
def test_json_and_figures(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["report", "run", "--json", "--figures", "figures"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert document["searchers"] == ["random", "regularized-evolution"]
    assert document["tasks"][0]["regret_of_median"] > 0
    assert {row["runs"] for row in document["leaderboard"]} == {3}
    assert not (folder / "report.html").exists()
    assert Path("figures/critical-difference.pdf").is_file()
    assert Path("figures/trade-off--cells2-v1--mnist1d-v1.png").is_file()


@shipped
def test_the_leaderboard_agrees_with_the_searchs_own(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["search", "random", "regularized-evolution", "--on", NAME, "--trials", "25", "--seeds", "3"]
    assert main([*words, "--out", "run", "--json"]) == 0
    search = {row["searcher"]: row["test_regret"]["25"] for row in json.loads(capsys.readouterr().out)["rows"]}
    assert main(["report", "run", "--json"]) == 0
    for row in json.loads(capsys.readouterr().out)["leaderboard"]:
        assert row["test"] == pytest.approx(search[row["searcher"]], rel=1e-5)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name at least one run folder"),
        (["nowhere"], "nowhere is not there; expected a run folder"),
        (["."], "is no run folder (it holds no run.json)"),
        ([".", "--out", "."], "--out . is a folder; expected the name of a file"),
    ],
)
def test_a_mistake_is_one_line(
    words: list[str],
    message: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["report", *words]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.count("\n") == 1
    assert message in captured.err
