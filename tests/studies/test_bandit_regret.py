"""Regret against the index policy, and the comparison on a run."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import metabench
from metabench.envs import make_environment


@pytest.fixture
def script(load_script):
    return load_script("studies/bandit_regret.py")


def test_regret_is_the_best_arms_chance_less_the_pulled_ones(script) -> None:
    chances = torch.tensor([[0.2, 0.9], [0.5, 0.1]])
    actions = torch.tensor([[0, 0], [1, 1], [1, 0]])
    torch.testing.assert_close(script.regret(chances, actions), torch.tensor([0.35, 0.2, 0.0]))
    assert script.arms_tried(actions, 2) == 2.0
    assert script.arms_tried(actions[2:], 2) == 1.0


def test_the_index_policys_regret_is_what_its_return_leaves(script) -> None:
    """6.65 of the 8.33 that knowing the arms gives, over 10 pulls of 5 arms."""
    env = make_environment("bandit-v0", 20_000)
    env.reset_tensor(seed=3)
    chances = env.tasks.clone()
    lost = script.regret(chances, script.index_actions(env, 3)).sum().item()
    assert lost == pytest.approx(5 / 6 * 10 - 6.65, abs=0.03)


@pytest.mark.parametrize("agent", ["rl2", "varibad", "hyperx"])
def test_a_run_is_compared(script, monkeypatch, tmp_path: Path, capsys, agent: str) -> None:
    monkeypatch.setattr(script, "STEPS", 5)
    settings = {"copies": 8, "frames": 160, "eval_copies": 8, "evaluations": 1}
    metabench.explore(agent, "bandit-v0", settings=settings, out=tmp_path / "run", workers=1)
    assert script.main([str(tmp_path / "run")]) == 0
    title, *lines = capsys.readouterr().out.splitlines()
    assert title.split()[-3:] == ["all", "arms", "tried"]
    third = ["imitating"] if agent != "rl2" else []
    assert [line.split()[0] for line in lines] == ["likeliest", "drawn", "index", *third]
    for line in lines:
        *parts, total = [float(word) for word in line.split()[1:-1]]
        assert sum(parts) == pytest.approx(total, abs=0.06)


def test_mistakes_are_told_in_a_line(script, tmp_path: Path, capsys) -> None:
    assert script.main([str(tmp_path)]) == 2
    assert "holds no run.json" in capsys.readouterr().err
    settings = {"copies": 4, "frames": 240, "eval_copies": 4, "evaluations": 1}
    metabench.explore("rl2", "grid-navigation-v0", settings=settings, out=tmp_path / "run", workers=1)
    assert script.main([str(tmp_path / "run")]) == 2
    assert "expected a bandit, not grid-navigation-v0" in capsys.readouterr().err
