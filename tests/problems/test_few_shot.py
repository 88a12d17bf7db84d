"""Episodes are what the definition says, and definitions are checked."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch

from metabench.content import folder
from metabench.datasets import load_task
from metabench.errors import ArgumentError, DefinitionError
from metabench.problems.few_shot import load_few_shot
from metabench.problems.few_shot.letters import Letters
from metabench.problems.few_shot.sinusoid import Sinusoids


def draw(source, problems=200, support=5, query=7, split="train", seed=0):
    return source.sample(problems, support, query, split, torch.Generator().manual_seed(seed))


def test_sinusoids_are_of_one_amplitude_and_phase_a_problem() -> None:
    data = draw(Sinusoids())
    x, y = torch.cat([data.support_x, data.query_x], 1)[..., 0], torch.cat([data.support_y, data.query_y], 1)[..., 0]
    # A sin(x - p) = (A cos p) sin x - (A sin p) cos x: a linear fit is exact and gives A and p back.
    design = torch.stack([x.sin(), -x.cos()], -1).double()
    fit = torch.linalg.lstsq(design, y[..., None].double()).solution[..., 0]
    torch.testing.assert_close((design @ fit[..., None])[..., 0], y.double(), rtol=1e-4, atol=1e-4)
    amplitude, phase = fit.norm(dim=1), torch.atan2(fit[:, 1], fit[:, 0])
    assert amplitude.min() > 0.09
    assert amplitude.max() < 5.01
    assert phase.min() > -0.01
    assert phase.max() < math.pi + 0.01
    assert amplitude.mean().item() == pytest.approx(2.55, abs=3 * 4.9 / math.sqrt(12 * 200))
    assert x.abs().max() <= 5


def letters() -> Letters:
    return load_few_shot("letter-few-shot-v1").source()  # type: ignore[return-value]


def test_letter_problems_have_distinct_rows_and_every_class() -> None:
    data = draw(letters(), problems=20)
    assert data.support_x.shape == (20, 25, 16)
    assert data.query_x.shape == (20, 35, 16)
    for labels, count in ((data.support_y, 5), (data.query_y, 7)):
        assert all(torch.bincount(row).tolist() == [count] * 5 for row in labels)


def test_letter_splits_share_no_letters() -> None:
    parameters = load_few_shot("letter-few-shot-v1").parameters
    groups = [set(parameters[split]) for split in ("train", "val", "test")]
    assert sum(map(len, groups)) == len(set.union(*groups)) == 26
    rows = {split: torch.cat(letters()._rows[split]) for split in ("train", "val", "test")}
    assert sum(map(len, rows.values())) == 20000
    torch.testing.assert_close(rows["train"].mean(0), torch.zeros(16), rtol=0, atol=1e-4)
    torch.testing.assert_close(rows["train"].std(0, correction=0), torch.ones(16), rtol=0, atol=1e-4)


def test_the_same_generator_gives_the_same_problems() -> None:
    for source in (letters(), Sinusoids()):
        first, again, other = (draw(source, problems=2, seed=seed) for seed in (0, 0, 1))
        assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
        assert not torch.equal(first.support_x, other.support_x)


@pytest.mark.parametrize(
    "make",
    [
        lambda: Letters(5, "ABCDE", "FGHIJ", "KLMNA"),
        lambda: Letters(5, "ABCD", "FGHIJ", "KLMNO"),
        lambda: Letters(1, "ABCD", "FGHIJ", "KLMNO"),
        lambda: Sinusoids(amplitude=(2.0, 1.0)),
        lambda: draw(letters(), problems=1, support=800),
    ],
)
def test_bad_arguments(make) -> None:
    with pytest.raises(ArgumentError):
        make()


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ('kind = "few-shot"', 'kind = "dataset"', "not of kind"),
        ('episodes = "sinusoid"', 'episodes = "sinusiod"', "Did you mean 'sinusoid'"),
        ('metric = "mse"', 'metric = "rmse"', "'mse' or 'accuracy'"),
        ("support = 10", "support = 0", "at least 1"),
        ("hidden = [40, 40]", "hidden = [40, 0.5]", "whole number"),
        ("test_steps = [0, 1, 5, 10]", "test_steps = [5, 1]", "ascending"),
        ("query = 10", "queries = 10", "unknown"),
    ],
)
def test_a_malformed_definition_names_file_and_line(tmp_path: Path, old: str, new: str, message: str) -> None:
    text = (folder("tasks") / "sinusoid-v1.toml").read_text()
    assert old in text
    path = tmp_path / "mine.toml"
    path.write_text(text.replace(old, new, 1))
    with pytest.raises(DefinitionError, match=message) as caught:
        load_few_shot(str(path))
    assert f"{path}:" in str(caught.value)


def test_parameters_of_the_source_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text((folder("tasks") / "sinusoid-v1.toml").read_text().replace("amplitude =", "amplitudes ="))
    with pytest.raises(DefinitionError, match="Did you mean 'amplitude'"):
        load_few_shot(str(path)).source()


def test_the_other_loader_says_what_it_is_not() -> None:
    with pytest.raises((ArgumentError, DefinitionError), match="sinusoid-v1"):
        load_task("sinusoid-v1")
