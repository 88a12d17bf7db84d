"""The figure of a search: it is written where there is regret, and draws medians at full trainings."""

import numpy as np
import pytest

from metabench.analysis import figures


def test_it_is_written(made_up, tmp_path):
    runs = {"random": [made_up.trials("random", 0, seed, 12, 0.5) for seed in range(3)]}
    path = tmp_path / "regret.png"
    assert figures.save_regret_figure(runs, "hills", path)
    assert path.read_bytes().startswith(b"\x89PNG")


def test_nothing_is_drawn_without_an_incumbent(made_up, tmp_path):
    failed = made_up.trials("random", 0, 0, 3, 0.5)
    for trial in failed:
        trial |= {"val_score": None, "incumbent": None, "val_regret": None, "test_regret": None}
    assert not figures.save_regret_figure({"random": [failed, []]}, "hills", tmp_path / "regret.png")
    assert not figures.save_regret_figure({}, "hills", tmp_path / "regret.png")
    assert not (tmp_path / "regret.png").exists()


def test_evaluations_are_full_trainings(made_up, tmp_path, monkeypatch):
    seen = {}
    real = figures.draw_curves
    monkeypatch.setattr(
        figures, "draw_curves", lambda entry, *rest, **more: seen.update(entry) or real(entry, *rest, **more)
    )
    trials = made_up.trials("asha", 0, 0, 8, 0.5)
    for number, trial in enumerate(trials):
        trial["evaluations"] = (number + 1) / 4
    assert figures.save_regret_figure({"asha": [trials]}, "hills", tmp_path / "regret.png")
    curve = seen["curves"]["evaluations"]["test"]["asha"]
    assert curve["x"] == [1, 2]
    np.testing.assert_allclose(curve["median"], [trials[3]["test_regret"], trials[7]["test_regret"]], rtol=1e-3)


@pytest.mark.parametrize(
    ("clock", "label"),
    [
        (None, "Simulated time (CPU seconds of training)"),
        ({"clock": "epochs", "sim_workers": 4}, "Simulated time (epochs, 4 workers)"),
    ],
)
def test_the_time_axis_has_its_unit(made_up, tmp_path, monkeypatch, clock, label):
    drawn = []
    real = figures.draw_curves
    monkeypatch.setattr(figures, "draw_curves", lambda *rest, **more: drawn.append(real(*rest, **more)) or drawn[0])
    runs = {"random": [made_up.trials("random", 0, 0, 12, 0.5)]}
    assert figures.save_regret_figure(runs, "hills", tmp_path / "regret.png", clock)
    assert [axes.get_xlabel() for axes in drawn[0].axes] == ["Evaluations (full trainings)", label]
