"""The studies of learned optimizers and few-shot learners: what they vary, and what they write."""

from __future__ import annotations

import importlib.util
import json
from pathlib import Path
from types import ModuleType

import pytest

from metabench import content
from metabench.learned.meta_training import find_recipe


def study(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(f"{name}_study", Path(__file__).parent / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_every_variant_differs_from_the_recipe_in_one_thing() -> None:
    recipe = find_recipe("mlp-v1")
    for name, change in study("learned").VARIANTS.items():
        before, after = recipe.settings(), change(recipe).settings()
        assert sum(before[key] != after[key] for key in before) == (name != "mlp-v1"), name


def test_the_shipped_comparison_is_of_the_shipped_weights() -> None:
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
def test_a_cell_of_the_few_shot_page(column, cell) -> None:
    assert study("few_shot")._cell(column) == cell


def test_the_few_shot_page_is_that_of_the_shipped_results() -> None:
    home = content.folder("surrogates") / "few-shot"
    lines = json.loads((home / "results.json").read_text(encoding="utf-8"))["lines"]
    assert study("few_shot").page(lines) == (home / "README.md").read_text(encoding="utf-8")
