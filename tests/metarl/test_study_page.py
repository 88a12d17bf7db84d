"""What the study's page says of its lines."""

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest


@pytest.fixture
def page(load_script: Callable[[str], ModuleType]) -> ModuleType:
    return load_script("studies/metarl_page.py")


def write_run(folder: Path, fraction: float) -> None:
    (folder / "seed-000").mkdir(parents=True)
    report = {
        "agent": "varibad", "env": "grid-navigation-v0", "frames": 960, "unit": "bayes-optimal", "notes": [],
        "seeds": [{"seed": 0, "fraction": fraction}], "trial_return": [30.0, 29.0, 31.0],
        "fraction": [fraction, 0.9, 1.0],
    }  # fmt: skip
    (folder / "summary.json").write_text(json.dumps(report))
    lines = [{"update": 1, "frames": 480}, {"update": 2, "frames": 960, "charts/eval_return": 30.0004}]
    (folder / "seed-000" / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))


@pytest.mark.parametrize(("fraction", "word"), [(0.951, "met"), (0.949, "not met")])
def test_goals_are_judged_and_curves_kept(page: ModuleType, tmp_path: Path, fraction: float, word: str) -> None:
    write_run(tmp_path / "runs" / "varibad-grid", fraction)
    (tmp_path / "runs" / "unfinished").mkdir()
    page.main(tmp_path / "runs", tmp_path / "out")
    found = json.loads((tmp_path / "out" / "results.json").read_text())
    assert list(found) == ["varibad-grid"]
    assert found["varibad-grid"]["curves"] == {"0": [[960, 30.0]]}
    text = (tmp_path / "out" / "README.md").read_text()
    assert f"| 95% | fraction >= 0.95: {word} |" in text
    assert "bayes-optimal 37.21" in text
