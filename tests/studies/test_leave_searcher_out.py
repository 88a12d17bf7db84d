"""Surrogates evaluated on what a searcher saw that the others did not, from a study's run folder."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from metabench import content
from metabench.analysis.visited import visited_architectures
from metabench.cli.main import main
from metabench.searchers import run_search
from metabench.spaces import load_space

NAME = "cells2-v1/mnist1d-v1"
SHIPPED = content.folder("surrogates") / "cells2-v1" / "table"
SEARCHERS = ("random", "local-search", "hyperband", "asha")
pytestmark = pytest.mark.skipif(
    not (SHIPPED / "manifest.json").is_file(), reason="the table of cells2-v1 is not built here"
)


@pytest.fixture(scope="module")
def run(tmp_path_factory) -> Path:
    """Together the runs of a searcher see most of the 157 architectures."""
    folder = tmp_path_factory.mktemp("study") / "run"
    run_search(SEARCHERS, NAME, trials=25, seeds=8, out=folder)
    return folder


def test_a_searcher_saw_what_its_first_run_trained_to_the_end(run: Path) -> None:
    space = load_space("cells2-v1")
    visited = visited_architectures((run,), space, "mnist1d-v1")
    assert set(visited) == set(SEARCHERS)
    for searcher, mask in visited.items():
        path = run / NAME / searcher / "seed-000.jsonl"
        trials = [json.loads(line) for line in path.read_text().splitlines()]
        codes = {trial["code"] for trial in trials if trial["epoch"] == 20}
        assert set(space.canonical_codes[mask].tolist()) == codes
        others = np.logical_or.reduce([found for name, found in visited.items() if name != searcher])
        assert (others & ~mask).sum() >= 20  # enough is left to fit a surrogate to
    assert visited["random"].sum() == 25
    assert visited["asha"].sum() < 25  # most of its trainings stopped early


def test_a_damaged_run_is_named(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    copy = tmp_path / "run"
    shutil.copytree(run, copy)
    (copy / NAME / "random" / "seed-000.jsonl").write_text("[1]\n")
    words = ["card", "cells2-v1", "--surrogates", "lightgbm", "--searchers", str(copy), "--out", str(tmp_path)]
    shutil.copytree(SHIPPED, tmp_path / "table")
    assert main(words) == 2
    assert "random/seed-000.jsonl: not a list of trials" in capsys.readouterr().err


@pytest.mark.slow
def test_the_card_of_a_studys_runs(run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    shutil.copytree(SHIPPED, tmp_path / "table")
    words = ["card", "cells2-v1", "--surrogates", "lightgbm", "--searchers", str(run), "--out", str(tmp_path)]
    assert main([*words, "--json"]) == 0
    card = json.loads(capsys.readouterr().out)["tasks"]["mnist1d-v1"]["surrogate"]["lightgbm"]
    visited = visited_architectures((run,), load_space("cells2-v1"), "mnist1d-v1")
    for searcher, mask in visited.items():
        others = np.logical_or.reduce([found for name, found in visited.items() if name != searcher])
        found = card["leave_searcher_out"][searcher]
        assert (found["train"], found["test"]) == ((others & ~mask).sum(), mask.sum())
        assert -1 <= found["kendall_tau"] <= 1
