"""``metabench search``: its screens on a made-up report, and a real search on the shipped table."""

import json
from pathlib import Path
from typing import Any

import pytest

import metabench.searchers
from metabench import content
from metabench.analysis.statistics import Quartiles
from metabench.cli.main import main
from metabench.searchers import Incumbent, LeaderboardRow, SearchReport, Settings

NAME = "cells2-v1/mnist1d-v1"
shipped = pytest.mark.skipif(
    not (content.folder("surrogates") / "cells2-v1" / "table" / "manifest.json").is_file(),
    reason="the table of cells2-v1 is not built here",
)


def _report(**changes: Any) -> SearchReport:
    regret = {25: Quartiles(0.01, 0.02, 0.03), 40: Quartiles(None, None, None)}
    row = LeaderboardRow("random", NAME, 40, regret, regret, 3600.0, 0.0004, 3)
    incumbents = [
        Incumbent("random", NAME, 0, 41, "mlp.deq,mlp.tied", 0.02, 0.03),
        Incumbent("random", NAME, 1, 39, "mlp.deq", 0.0, 0.01),
        Incumbent("random", NAME, 2, None, None, None, None),
    ]
    values: dict[str, Any] = {
        "folder": Path("runs") / "one",
        "plan": {"trials": 40},
        "rows": [row],
        "figures": [Path("runs") / "one" / "regret.png"],
        "incumbents": incumbents,
        "notes": ["a run ended early"],
    }
    return SearchReport(**{**values, **changes})


@pytest.fixture
def calls(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What ``run_search`` was called with; it gives the made-up report."""
    seen: list[dict[str, Any]] = []

    def run_search(searchers: list[str], on: list[str], **options: Any) -> SearchReport:
        seen.append({"searchers": searchers, "on": on, **options})
        return _report(dry_run=options["dry_run"])

    monkeypatch.setattr(metabench.searchers, "run_search", run_search, raising=False)
    return seen


def test_options_reach_the_search(calls: list[dict[str, Any]], tmp_path: Path) -> None:
    words = ["search", "random", "smac", "--on", "a/b", "c/d", "--trials", "7", "--seeds", "3", "--workers", "2"]
    assert main([*words, "--out", str(tmp_path)]) == 0
    assert calls == [
        {
            "searchers": ["random", "smac"],
            "on": ["a/b", "c/d"],
            "trials": 7,
            "seeds": 3,
            "out": tmp_path,
            "kind": "table",
            "settings": Settings(),
            "workers": 2,
            "scheduler": None,
            "progress": False,
            "dry_run": False,
            "command": f"metabench search random smac --on a/b c/d --trials 7 --seeds 3 --out {tmp_path}",
        }
    ]


def test_settings_reach_the_search_and_the_command(calls: list[dict[str, Any]]) -> None:
    words = ["--kind", "live", "--sim-workers", "4", "--clock", "flops", "--promotions", "restart"]
    words += ["--replicates", "fixed"]
    assert main(["search", "asha", "--on", NAME, *words, "--out", "x", "--scheduler", "tcp://host:1"]) == 0
    assert calls[0]["settings"] == Settings(4, "flops", "restart", "fixed")
    assert calls[0]["scheduler"] == "tcp://host:1"
    assert calls[0]["command"].endswith(" ".join(["--out", "x", *words]))


def test_failed_runs_are_told_by_the_exit_code(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(metabench.searchers, "run_search", lambda *_, **__: _report(failed=2), raising=False)
    assert main(["search", "random", "--on", NAME]) == 1
    assert main(["search", "random", "--on", NAME, "--json"]) == 1
    assert '"failed": 2' in capsys.readouterr().out


def test_scores_are_shown_where_the_optimum_is_unknown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    nothing, score = {40: Quartiles(None, None, None)}, {40: Quartiles(0.5, 0.55, 0.6)}
    row = LeaderboardRow("random", NAME, 40, nothing, nothing, 3600.0, 0.0004, 3, score, score)
    incumbent = Incumbent("random", NAME, 0, 41, "mlp.deq,mlp.tied", None, None, 0.5, 0.5)
    plan = {"benchmarks": [{"id": NAME, "kind": "live"}]}
    report = _report(rows=[row], incumbents=[incumbent], plan=plan)
    monkeypatch.setattr(metabench.searchers, "run_search", lambda *_, **__: report, raising=False)
    assert main(["search", "random", "--on", NAME, "--kind", "live"]) == 0
    out = capsys.readouterr().out
    assert "55.00 (50.00 to 60.00)" in out
    assert "Test score of the incumbent" in out
    assert "metabench query" not in out  # it was not measured


@pytest.mark.parametrize("option", ["--trials", "--seeds", "--workers", "--sim-workers"])
def test_nothing_to_do_is_one_line(capsys: pytest.CaptureFixture[str], option: str) -> None:
    assert main(["search", "random", "--on", NAME, option, "0"]) == 2
    assert capsys.readouterr().err == f"metabench: error: {option} 0: expected at least 1.\n"


@pytest.mark.usefixtures("calls")
def test_the_leaderboard_ends_with_the_next_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "random", "--on", NAME]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Leaderboard on {NAME}\n")
    assert "2.00 (1.00 to 3.00)" in out
    assert "60 min" in out
    assert "400 us" in out
    assert "note: a run ended early\n" in out
    assert f"figure: {Path('runs') / 'one' / 'regret.png'}\n" in out
    assert out.endswith(f"next: metabench query {NAME} --code 39 --seed all\n")


@pytest.mark.usefixtures("calls")
def test_the_report_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "random", "--on", NAME, "--json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert document["rows"][0]["test_regret"]["25"] == {"lower": 0.01, "median": 0.02, "upper": 0.03}
    assert document["rows"][0]["test_regret"]["40"]["median"] is None


@pytest.mark.usefixtures("calls")
def test_a_dry_run_says_what_it_would_do(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["search", "random", "smac", "--on", NAME, "--seeds", "5", "--dry-run"]) == 0
    assert capsys.readouterr().out.startswith("10 runs of 100 trials: random, smac on cells2-v1/mnist1d-v1, 5 seeds.\n")


def test_an_interruption_gives_the_command_that_goes_on(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def run_search(*_: Any, **__: Any) -> SearchReport:
        raise KeyboardInterrupt

    monkeypatch.setattr(metabench.searchers, "run_search", run_search, raising=False)
    monkeypatch.chdir(tmp_path)
    assert main(["search", "random", "--on", NAME, "--trials", "9", "--out", "mine"]) == 130
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err == (
        "\nmetabench: interrupted. What is finished is kept; go on with: "
        f"metabench search random --on {NAME} --trials 9 --seeds 10 --out mine\n"
    )


@shipped
def test_a_real_search(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    words = ["search", "random", "regularized-evolution", "--on", NAME, "--trials", "25", "--seeds", "2"]
    assert main([*words, "--out", str(tmp_path / "run"), "--json"]) == 0
    document = json.loads(capsys.readouterr().out, parse_constant=pytest.fail)
    assert {row["searcher"] for row in document["rows"]} == {"random", "regularized-evolution"}
    assert all(row["runs"] == 2 for row in document["rows"])
    assert all(Path(figure).is_file() for figure in document["figures"])


@shipped
def test_an_unknown_searcher_is_one_line(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert main(["search", "randon", "--on", NAME, "--out", str(tmp_path / "run")]) == 2
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "Did you mean 'random'?" in captured.err
    assert not (tmp_path / "run").exists()
