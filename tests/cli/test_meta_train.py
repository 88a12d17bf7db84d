"""``metabench meta-train``: what is trained, printed and refused."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from metabench.cli.main import main
from metabench.learned.meta_training import recipe as recipes
from metabench.learned.optimizers import MLPRule
from metabench.problems import Quadratic


@pytest.fixture
def quick(monkeypatch) -> None:
    """mlp-v1 becomes a training of moments."""
    plan = replace(
        recipes.RECIPES["mlp-v1"](), rule=MLPRule(), problems=(Quadratic(2),), groups=1, units=2, iterations=4
    )
    monkeypatch.setitem(recipes.RECIPES, "mlp-v1", lambda: plan)


def test_an_optimizer_is_trained_stopped_and_finished(quick, tmp_path, capsys) -> None:
    command = ["meta-train", "mlp-v1", "--out", str(tmp_path)]
    assert main([*command, "--iterations", "2"]) == 0
    out = capsys.readouterr().out
    assert "2 of 4 meta-steps" in out
    assert "the same command goes on" in out
    assert main([*command, "--json"]) == 0
    document = json.loads(capsys.readouterr().out)
    assert document["iterations"] == len(document["curve"]) == 4
    assert (tmp_path / "weights.npz").is_file()
    assert json.loads((tmp_path / "manifest.json").read_text())["kind"] == "mlp"
    assert main([*command, "--seed", "1"]) == 2
    assert "other settings" in capsys.readouterr().err


def test_shipping_writes_where_load_looks(quick, tmp_path, capsys, monkeypatch) -> None:
    import metabench
    from metabench.learned.optimizers import weight_file

    monkeypatch.setattr(weight_file, "shipped_folder", lambda: tmp_path / "shipped")
    assert main(["meta-train", "mlp-v1", "--out", str(tmp_path / "run"), "--ship"]) == 0
    assert metabench.learned.load("mlp-v1").manifest["provenance"]["iterations"] == 4


@pytest.mark.parametrize("name", ["maml", "anil", "meta-sgd", "reptile"])
def test_a_meta_learner_is_trained_and_tested(name, tmp_path, capsys) -> None:
    command = [
        "meta-train",
        name,
        "--task",
        "sinusoid-v1",
        "--iterations",
        "2",
        "--support",
        "5",
        "--out",
        str(tmp_path),
    ]
    assert main(command) == 0
    out = capsys.readouterr().out
    assert f"{name} on sinusoid-v1, 5 shown, after 2 meta-steps" in out
    assert main([*command, "--json"]) == 0
    scores = json.loads(capsys.readouterr().out)["scores"]
    assert [score["steps"] for score in scores] == [0, 1, 5, 10]
    assert all(score["problems"] == 600 for score in scores)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "name what to train"),
        (["mpl-v1"], "Did you mean 'mlp-v1'"),
        (["maml"], "--task sinusoid-v1"),
        (["maml", "--task", "letter-v1"], "not of kind 'few-shot'"),
        (["maml", "--task", "sinusoid-v1", "--ship"], "do not apply"),
        (["mlp-v1", "--task", "sinusoid-v1"], "do not apply"),
        (["mlp-v1", "--iterations", "0"], "at least 1"),
    ],
)
def test_mistakes_get_one_line(words, message, capsys) -> None:
    assert main(["meta-train", *words]) == 2
    captured = capsys.readouterr()
    assert message in captured.err
    assert captured.err.count("\n") == 1
    assert captured.out == ""
