"""Definitions of environments: mistakes name file, line and key; data sets and environments are told apart."""

from pathlib import Path

import pytest

from metabench.cli.main import main
from metabench.content import identifiers, locate
from metabench.datasets import load_task
from metabench.envs import environment_identifiers, load_environment, make_environment
from metabench.errors import ArgumentError, DefinitionError


def test_every_task_is_of_one_kind() -> None:
    datasets, environments = identifiers("tasks", of="dataset"), environment_identifiers()
    few_shot = identifiers("tasks", of="few-shot")
    assert sorted((*datasets, *environments, *few_shot)) == list(identifiers("tasks"))
    assert "mnist1d-v1" in datasets
    assert "bandit-v0" in environments


def test_an_environment_is_no_data_set() -> None:
    with pytest.raises(ArgumentError, match="'bandit-v0' is an environment, not a data set"):
        load_task("bandit-v0")


def test_list_and_cite_know_environments(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list", "tasks"]) == 0
    out = capsys.readouterr().out
    assert all(name in out for name in (*environment_identifiers(), "mnist1d-v1"))
    assert main(["cite", "room-navigation-v0"]) == 0
    assert "arXiv:2010.01062" in capsys.readouterr().out
    assert main(["build", "--space", "cells2-v1", "--tasks", "bandit-v0", "--dry-run"]) == 2
    assert "not a data set" in capsys.readouterr().err


def test_a_definition_of_ones_own(tmp_path: Path) -> None:
    path = tmp_path / "small.toml"
    path.write_text(locate("tasks", "grid-navigation-v0").read_text().replace("size = 5", "size = 3"))
    assert make_environment(str(path), 2).family.layout.width == 3


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            ('environment = "grid-navigation"', 'environment = "grid-navigaton"'),
            r"t\.toml:4: key 'environment' is 'grid-navigaton'.*Did you",
        ),
        (('description = "A', 'descripton = "A'), r"t\.toml:3: key 'descripton' is unknown"),
        (('unit = "bayes-optimal"', 'unit = "optimal"'), r"no return of 'optimal'"),
        (("random =", "rand ="), r"no return of 'random'"),
        (('kind = "environment"', 'kind = "dataset"'), "data set, not an environment"),
        (("random = [", 'random = ["x", '), "numbers"),
    ],
)
def test_mistakes_name_file_and_key(tmp_path: Path, change: tuple[str, str], message: str) -> None:
    path = tmp_path / "t.toml"
    path.write_text(locate("tasks", "grid-navigation-v0").read_text().replace(*change))
    with pytest.raises((DefinitionError, ArgumentError), match=message):
        load_environment(str(path))


def test_parameters_of_the_wrong_kind_are_one_line() -> None:
    with pytest.raises(ArgumentError, match="'horizon' is 'long'; expected a whole number"):
        make_environment("grid-navigation-v0", 1, horizon="long")
    with pytest.raises(ArgumentError, match="expected a whole number"):
        make_environment("bandit-v0:arms=2.5")
    with pytest.raises(ArgumentError, match="'reward_noise' is True; expected a number"):
        make_environment("mdp-playground-v0:reward_noise=true")
