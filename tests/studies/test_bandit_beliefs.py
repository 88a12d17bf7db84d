"""What is printed of a run."""

from __future__ import annotations

from pathlib import Path

import pytest

import metabench


@pytest.fixture
def script(load_script):
    return load_script("studies/bandit_beliefs.py")


@pytest.mark.parametrize("agent", ["varibad", "hyperx"])
def test_a_run_is_compared(script, tmp_path: Path, capsys, agent: str) -> None:
    settings = {"copies": 8, "frames": 160, "eval_copies": 8, "evaluations": 1, "decode": "past"}
    metabench.explore(agent, "bandit-v0", settings=settings, out=tmp_path / "run", workers=1)
    assert script.main([str(tmp_path / "run")]) == 0
    title, *lines, last = capsys.readouterr().out.splitlines()
    assert last.startswith("latents in use: ")
    assert last.endswith(" of 10")
    assert title.split()[:2] == ["pulls", "sd:"]
    assert [int(line.split()[0]) for line in lines] == [1, 2, 5, 10]
    assert float(lines[0].split()[1]) == pytest.approx((4 * 12**-0.5 + 18**-0.5) / 5, abs=6e-4)


def test_mistakes_are_told_in_a_line(script, tmp_path: Path, capsys) -> None:
    assert script.main([str(tmp_path)]) == 2
    assert "holds no run.json" in capsys.readouterr().err
    settings = {"copies": 4, "frames": 40, "eval_copies": 4, "evaluations": 1}
    metabench.explore("rl2", "bandit-v0", settings=settings, out=tmp_path / "run", workers=1)
    assert script.main([str(tmp_path / "run")]) == 2
    assert "expected variBAD or HyperX on a bandit, not rl2" in capsys.readouterr().err
