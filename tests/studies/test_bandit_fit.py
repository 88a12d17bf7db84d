"""Fits of beliefs on a bandit: what is kept, printed and refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest


@pytest.fixture
def script(load_script, monkeypatch):
    script = load_script("studies/bandit_fit.py")
    whole = script.fit
    monkeypatch.setattr(script, "fit", lambda arms, changes, seed: whole(arms, changes, seed, steps=3, trials=16))
    return script


def test_fits_are_kept_and_not_made_again(script, tmp_path: Path, capsys, monkeypatch) -> None:
    words = ["affine", "wide", "--arms", "2", "--seed", "3", "--out", str(tmp_path / "fits.json")]
    assert script.main(words) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title.split()[:4] == ["variant,", "seed", "nats", "latents"]
    assert [line.split()[:2] for line in lines] == [["affine,", "3"], ["wide,", "3"]]
    kept = json.loads((tmp_path / "fits.json").read_text())
    assert list(kept) == ["2 arms, affine, 3", "2 arms, wide, 3"]
    assert kept["2 arms, affine, 3"]["changes"] == {"decoder_layers": []}
    assert all(fit["bound"] > fit["exact_bound"] > 0 for fit in kept.values())
    monkeypatch.setattr(script, "fit", lambda *_: pytest.fail("made again"))
    assert script.main(words) == 0
    assert capsys.readouterr().out.splitlines()[1:] == lines


def test_mistakes_are_told_in_a_line(script, tmp_path: Path, capsys) -> None:
    assert script.main(["afine"]) == 2
    assert "there is no variant 'afine'. Did you mean 'affine'?" in capsys.readouterr().err
    (tmp_path / "fits.json").write_text("{")
    assert script.main(["affine", "--out", str(tmp_path / "fits.json")]) == 2
    assert "cannot be read" in capsys.readouterr().err
    assert script.main(["affine", "--out", str(tmp_path / "nowhere" / "fits.json")]) == 2
    assert "there is no folder" in capsys.readouterr().err
