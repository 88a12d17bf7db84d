"""What the study's page says of its lines."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def page(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("studies/metarl_page.py")


def write_run(folder: Path, fraction: float, seeds: tuple[int, ...] = (0, 1, 2)) -> None:
    report = {
        "agent": "varibad", "env": "grid-navigation-v0", "frames": 960, "unit": "bayes-optimal", "notes": [],
        "seeds": [{"seed": seed, "fraction": fraction} for seed in seeds], "trial_return": [30.0, 29.0, 31.0],
        "fraction": [fraction, 0.9, 1.0],
    }  # fmt: skip
    lines = [{"update": 1, "frames": 480}, {"update": 2, "frames": 960, "charts/eval_return": 30.0004}]
    for seed in seeds:
        path = folder / f"seed-{seed:03d}" / "metrics.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "summary.json").write_text(json.dumps(report))


@pytest.mark.parametrize(("fraction", "word"), [(0.951, "met"), (0.949, "not met")])
def test_goals_are_judged_and_curves_kept(page: ModuleType, tmp_path: Path, fraction: float, word: str) -> None:
    write_run(tmp_path / "runs" / "varibad-grid", fraction)
    (tmp_path / "runs" / "unfinished").mkdir()
    write_run(tmp_path / "runs" / "one-seed", fraction, (0,))
    page.main(tmp_path / "runs", tmp_path / "out")
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(found) == ["varibad-grid"]
    assert found["varibad-grid"]["curves"] == {str(seed): [[960, 30.0]] for seed in range(3)}
    text = (tmp_path / "out" / "README.md").read_text()
    assert f"| 95%, 95%, 95% | fraction >= 0.95: {word} |" in text
    assert "bayes-optimal 37.21" in text


def test_tries_are_kept_apart_with_what_they_changed(page: ModuleType, tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "try-grid"
    write_run(folder, 0.9, (10,))
    lines = [{"update": n, "frames": n, "charts/eval_return": value} for n, value in enumerate((9.0, 36.0, 30.0, 33.0))]
    (folder / "seed-010" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (folder / "run.json").write_text(json.dumps({"settings": {"copies": 64, "eval_copies": 1024}}))
    page.main(tmp_path / "runs", tmp_path / "out")
    assert json.loads((tmp_path / "out" / "results.json").read_text()) == {}
    tried = json.loads((tmp_path / "out" / "tries.json").read_text())["try-grid"]
    assert tried["changes"] == {"copies": 64, "reward_decoder": "regression"}
    assert tried["seeds"] == {"10": {"last": 33.0, "best": 36.0}}
    text = (tmp_path / "out" / "README.md").read_text()
    assert "| copies=64 reward_decoder=regression | 10: 88.7% (96.7%) |" in text
