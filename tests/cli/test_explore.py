"""``metabench explore`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from metabench.cli.explore import read_settings
from metabench.cli.main import main

GRID = "grid-navigation-v0"
SMALL = ["--set", "copies=4", "eval_copies=4", "memory_width=8", "vae_updates=1", "policy_body=mlp.tied"]


def test_a_run_its_report_and_its_resumption(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["explore", "varibad", "--env", GRID, "--frames", "720", *SMALL, "--out", str(tmp_path / "run")]
    assert main(words) == 0
    page = capsys.readouterr().out
    assert "varibad on grid-navigation-v0" in page
    assert "learning-curve.png" in page
    assert main([*words, "--resume", "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["frames"] == 720
    assert len(document["seeds"][0]["episodes"]) == 4


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name an agent"),
        (["varibad"], "name an environment"),
        (["varibda", "--env", GRID], "Did you mean 'varibad'?"),
        (["varibad", "--env", "grid-navigaton-v0"], "Did you mean 'grid-navigation-v0'?"),
        (["varibad", "--env", "mnist1d-v1"], "is a data set, not an environment"),
        (["varibad", "--env", GRID, "--frames", "10"], "fewer than one update"),
        (["varibad", "--env", GRID, "--seeds", "0"], "--seeds 0: expected at least 1."),
        (["varibad", "--env", GRID, "--first-seed", "-1"], "--first-seed -1: expected at least 0."),
        (["varibad", "--env", GRID, "--resume"], "--resume needs the folder"),
        (["varibad", "--env", GRID, "--set", "copies"], "expected NAME=VALUE"),
    ],
)
def test_a_mistake_is_one_line(words: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["explore", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert not captured.out


def test_settings_are_read_as_toml_with_bare_names() -> None:
    words = (
        "copies=64",
        "clip=0.1",
        "policy_layers=[64, 64]",
        "memory_cell=gated.deq",
        "decode_states=true",
        "elbo_terms=none",
    )
    assert read_settings(words) == {
        "copies": 64,
        "clip": 0.1,
        "policy_layers": [64, 64],
        "memory_cell": "gated.deq",
        "decode_states": True,
        "elbo_terms": None,
    }
