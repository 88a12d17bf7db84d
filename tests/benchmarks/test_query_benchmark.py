"""The query benchmark's own instruments: medians, units, ratios, a peer that is not there, and the synthetic table."""

import json
import sys
from pathlib import Path

import numpy as np
import pytest

HERE = Path(__file__).parent


@pytest.fixture(autouse=True)
def _siblings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(HERE))


def test_figures_have_units() -> None:
    import query

    assert query.written("open", 0.0042) == "4.20 ms"
    assert query.written("import", 1.5) == "1.500 s"
    assert query.written("code", 835_000.0) == "835 k/s"
    assert query.written("batch", 5.34e8) == "534 M/s"
    assert query.written("dict", None) == "-"


def test_medians_are_over_the_turns_that_have_the_figure() -> None:
    import query

    turns = [
        {"name": "x", "open": 3.0, "code": 1.0},
        {"name": "x", "open": 1.0},
        {"name": "x", "open": 2.0, "code": 4.0},
    ]
    assert query.medians(turns) == {"name": "x", "open": 2.0, "code": 2.5}


def test_goals_and_ratios_are_printed(capsys: pytest.CaptureFixture[str]) -> None:
    import query

    own = {"name": "metabench", "version": "0", "open": 0.004, "code": 600e3}
    query.show([own, {"name": "peer", "version": "1", "open": 0.1, "code": 20e3, "note": "by name"}])
    out = capsys.readouterr().out
    assert "reached: open 4.00 ms (goal 5.00 ms); 25x the best peer, peer" in out
    assert "MISSED: query by code 600 k/s (goal 700 k/s); 30x the best peer, peer" in out
    assert "\npeer: by name\n" in out


def test_a_peer_that_is_not_installed_is_a_line(tmp_path: Path) -> None:
    import query

    found = query.run("yahpo-gym", tmp_path, sys.executable)
    assert found["note"].startswith("not measured: not installed (No module named 'yahpo_gym')")
    assert "open" not in found


def test_a_rate_is_queries_a_second(monkeypatch: pytest.MonkeyPatch) -> None:
    import query_case

    now = [0.0]

    def query(one: int) -> None:
        now[0] += 0.01

    monkeypatch.setattr(query_case, "clock", lambda: now[0])
    assert query_case.rate(query, [1, 2, 3]) == pytest.approx(100.0)


def test_the_synthetic_table_says_that_it_is_one(tmp_path: Path) -> None:
    from synthetic import write_table

    folder = write_table(tmp_path, "cells2-v1", ("mnist1d-v1",), seeds=2)
    manifest = json.loads((folder / "manifest.json").read_text())
    (source,) = manifest["provenance"]
    assert source["commit"] == "synthetic: random numbers, nothing was trained"
    assert source["trainings"] == manifest["finished"] == 157 * 2
    assert not np.isnan(np.load(folder / "results.npy")).any()
