"""The studies of learned optimizers and few-shot learners: what they vary, and what they write."""

from __future__ import annotations

import json
from collections.abc import Callable
from types import ModuleType

import pytest

from metabench import content
from metabench.learned.meta_training import find_recipe


@pytest.fixture
def study(load_script: Callable[[str], ModuleType]) -> Callable[[str], ModuleType]:
    return lambda name: load_script(f"studies/{name}.py")


def test_every_variant_differs_from_the_recipe_in_one_thing(study) -> None:
    recipe = find_recipe("mlp-v1")
    for name, change in study("learned").VARIANTS.items():
        before, after = recipe.settings(), change(recipe).settings()
        assert sum(before[key] != after[key] for key in before) == (name != "mlp-v1"), name


def test_the_shipped_comparison_is_of_the_shipped_weights(study) -> None:
    home = content.folder("surrogates") / "optimizers" / "mlp-v1"
    shipped = json.loads((home / "manifest.json").read_text(encoding="utf-8"))["sha256"]
    for card in ("card.json", "card-shifted.json"):
        assert json.loads((home / card).read_text(encoding="utf-8"))["sha256"] == shipped
    variants = json.loads((home / "recipes.json").read_text(encoding="utf-8"))["variants"]
    assert variants["mlp-v1"]["sha256"] == shipped
    assert study("learned").table(variants).splitlines()[1].startswith("mlp-v1 ")


@pytest.mark.parametrize(
    ("column", "cell"),
    [([0.5], "0.500"), ([0.4, 0.6], "0.500 +- 0.141"), ([0.4, None, 0.6], "diverges with 1 of 3")],
)
def test_a_cell_of_the_few_shot_page(study, column, cell) -> None:
    assert study("few_shot")._cell(column) == cell


def test_the_few_shot_page_is_that_of_the_shipped_results(study) -> None:
    home = content.folder("surrogates") / "few-shot"
    lines = json.loads((home / "results.json").read_text(encoding="utf-8"))["lines"]
    assert study("few_shot").page(lines) == (home / "README.md").read_text(encoding="utf-8")
