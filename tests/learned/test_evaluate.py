"""Comparison of optimizers: statistics by hand, training against torch.optim, and a run that can be stopped."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch

from metabench.errors import ArgumentError, RunFolderError
from metabench.learned.comparison import best_setting, compare, wilson_interval
from metabench.learned.evaluate import PROBLEMS, RATES, RIVALS, compare_all, evaluate, main, table, train_with
from metabench.learned.optimizers import MLPRule, Momentum, save_weights
from metabench.problems import ArchitectureProblem, PerceptronProblem, Quadratic

TINY = (
    PerceptronProblem(task="spirals-v1", hidden=(4,), batch_size=16),
    ArchitectureProblem(task="spirals-v1", architecture="mlp.tied", width=4, batch_size=16),
)


def test_wilson_interval_equals_a_published_example() -> None:
    # Newcombe (1998), Statistics in Medicine 17, table I, method 3: 81 of 263 gives 0.2553 to 0.3662.
    assert wilson_interval(81, 263) == pytest.approx((0.2553, 0.3662), abs=5e-5)
    assert wilson_interval(0, 20) == pytest.approx((0.0, 0.1611), abs=5e-5)


def test_the_best_setting_is_chosen_for_every_step() -> None:
    losses = np.array([[[1.0, 9.0], [3.0, 9.0]], [[4.0, 1.0], [4.0, 2.0]], [[0.0, np.nan], [np.inf, 0.0]]])
    assert best_setting(losses, "train_loss").tolist() == [2.0, 1.5]
    assert best_setting(losses[:2], "val_score").tolist() == [4.0, 9.0]


def test_wins_ties_and_differences_by_hand() -> None:
    learned, rival = np.array([[1.0], [2.0], [4.0]]), np.array([[2.0], [2.0], [2.0]])
    (found,) = compare(learned, rival, name="adam", metric="train_loss", steps=[100])
    assert (found.wins, found.problems) == (1.5, 3)
    assert found.difference == pytest.approx(0.0)
    assert found.half_width == pytest.approx(1.959964 * np.log(2) / np.sqrt(3), rel=1e-5)
    (found,) = compare(learned, rival, name="adam", metric="val_score", steps=[100])
    assert found.wins == 1.5
    assert found.difference == pytest.approx(1 / 3)


def test_training_equals_torch_optim() -> None:
    problem, seeds = TINY[0], [4, 9]
    rates = [{"rate": torch.tensor(0.03)}, {"rate": torch.tensor(0.3)}]
    found = train_with(Momentum(), rates, problem, seeds, [2, 5])
    assert found["train_loss"].shape == found["val_score"].shape == (2, 2, 2)
    values = {k: v.clone().requires_grad_() for k, v in problem.sample([9]).items()}
    optimizer = torch.optim.SGD(values.values(), lr=0.3, momentum=0.9)
    for step in range(5):
        optimizer.zero_grad()
        problem.loss(values, problem.batch([9], step)).sum().backward()
        optimizer.step()
    assert found["train_loss"][1, 1, 1] == pytest.approx(problem.full_loss(values, [9]).item(), rel=1e-4)
    assert found["val_score"][1, 1, 1] == pytest.approx(problem.score(values).item(), abs=2e-3)


def test_a_setting_that_makes_nothing_better_is_left_and_the_others_go_on() -> None:
    problem, rates = TINY[0], [{"rate": torch.tensor(rate)} for rate in (0.03, 1e6, 0.1)]
    whole = train_with(Momentum(), rates, problem, [4, 9], [2, 6])
    found = train_with(Momentum(), rates, problem, [4, 9], [2, 6], give_up=3)
    np.testing.assert_allclose(found["train_loss"][[0, 2]], whole["train_loss"][[0, 2]], rtol=1e-5)
    np.testing.assert_allclose(found["train_loss"][1, :, 0], whole["train_loss"][1, :, 0], rtol=1e-5)
    assert np.isnan(found["train_loss"][1, :, 1]).all()
    none = train_with(Momentum(), rates[1:2], problem, [4], [2, 6], give_up=3)
    assert np.isnan(none["train_loss"][0, 0, 1])


def test_a_problem_without_a_score_has_none() -> None:
    found = train_with(Momentum(), [{"rate": torch.tensor(0.01)}], Quadratic(3), [0], [1])
    assert np.isnan(found["val_score"]).all()
    assert np.isfinite(found["train_loss"]).all()


@pytest.fixture
def optimizer(tmp_path):
    rule = MLPRule()
    return save_weights(tmp_path / "mine", rule, rule.weights(torch.Generator().manual_seed(0)), {})


def test_a_stopped_evaluation_goes_on_and_refuses_other_settings(optimizer, tmp_path, capsys) -> None:
    out = tmp_path / "lines"
    evaluate(optimizer, out, problems=TINY[:1], seeds=2, steps=(2, 4))
    with (out / "rivals.jsonl").open("ab") as file:
        file.write(b'{"key": {"sha')
    results = evaluate(optimizer, out, problems=TINY, seeds=2, steps=(2, 4))
    assert sorted(len(path.read_bytes().splitlines()) for path in out.iterdir()) == [2, 2 * len(RIVALS)]
    assert list(results) == [problem.name for problem in TINY]
    assert results[TINY[0].name]["adam"]["train_loss"].shape == (14, 2, 2)
    assert len(RATES) == 14
    comparisons = compare_all(results, (2, 4))
    assert len(comparisons) == 2 * len(RIVALS) * 2
    assert all(c.problems == 2 for c in comparisons)
    assert len(table(comparisons).splitlines()) == 1 + len(comparisons)
    with pytest.raises(RunFolderError, match="other settings"):
        evaluate(optimizer, out, problems=TINY, seeds=1, steps=(2, 4))
    (out / "rivals.jsonl").write_text("[]\n")
    with pytest.raises(RunFolderError, match="not a line"):
        evaluate(optimizer, out, problems=TINY, seeds=2, steps=(2, 4))


@pytest.mark.parametrize(("on", "end"), [("held-out", ""), ("shifted", "-shifted")])
def test_the_command_prints_a_table_and_writes_a_card(on, end, optimizer, tmp_path, capsys, monkeypatch) -> None:
    monkeypatch.setitem(PROBLEMS, on, lambda: TINY[:1])
    card = tmp_path / "card"
    arguments = [
        str(optimizer),
        "--on",
        on,
        "--out",
        str(tmp_path / "e"),
        "--seeds",
        "1",
        "--steps",
        "1",
        "--card",
        str(card),
    ]
    main(arguments)
    assert "adam" in capsys.readouterr().out
    document = json.loads((card / f"card{end}.json").read_text())
    assert {row["rival"] for row in document["comparisons"]} == set(RIVALS)
    assert set(document["problems"][TINY[0].name]["train_loss"]) == {"learned", *RIVALS}
    assert (card / f"val_score{end}.png").stat().st_size > 1000
    page = (card / "README.md").read_text()
    assert f"| `{TINY[0].name}` | " in page
    assert "| adam | 1 | " in page
    assert f"(train_loss{end}.png)" in page


@pytest.mark.parametrize(
    "make",
    [
        lambda: wilson_interval(3, 2),
        lambda: train_with(Momentum(), [], TINY[0], [0], [1]),
        lambda: train_with(Momentum(), [{"rate": torch.tensor(0.1)}], TINY[0], [0], [2, 1]),
    ],
)
def test_bad_arguments(make) -> None:
    with pytest.raises(ArgumentError, match="expected"):
        make()
