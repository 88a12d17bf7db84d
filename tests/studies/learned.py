"""Which recipe the shipped learned optimizer is meta-trained by: variants, compared on the validation problems.

usage: python tests/studies/learned.py [VARIANT...] [--out DIR] [--workers N]      all variants if none is named

Each variant differs from the recipe ``mlp-v1`` in one thing. A variant is meta-trained (seed 0), and its weights train
the problems that recipes are chosen by, which share no problem with the held-out ones. What counts is training loss
against Adam at the best of 14 rates, chosen anew for each problem and each number of steps. Everything goes on where it
was interrupted. Results go to surrogates/optimizers/mlp-v1/recipes.json.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

import torch

from metabench.files import replace_file
from metabench.learned import load
from metabench.learned.evaluate import STEPS, compare_all, evaluate
from metabench.learned.meta_training import Recipe, find_recipe, meta_train
from metabench.learned.meta_training.pes import PersistentES
from metabench.learned.meta_training.truncated_es import TruncatedES
from metabench.learned.optimizers import MLPRule
from metabench.problems import training_problems, validation_problems

SEEDS = 2  # instances of each problem
RESULTS = Path("surrogates/optimizers/mlp-v1/recipes.json")

VARIANTS: dict[str, Callable[[Recipe], Recipe]] = {
    "mlp-v1": lambda recipe: recipe,
    "short-lives": lambda recipe: replace(recipe, horizons=(100, 700)),
    "few-meta-steps": lambda recipe: replace(recipe, iterations=600),
    "pes": lambda recipe: replace(recipe, estimator=PersistentES(sigma=0.03)),
    "truncated-es": lambda recipe: replace(recipe, estimator=TruncatedES(sigma=0.03)),
    "random-start": lambda recipe: replace(recipe, rule=_random(recipe.rule)),
    "with-quadratics": lambda recipe: replace(recipe, problems=training_problems()),
}
"""Name -> what is changed."""


def _random(rule: object) -> MLPRule:
    assert isinstance(rule, MLPRule)
    return replace(rule, start="random")


def measure(name: str, out: Path, workers: int) -> dict[str, object]:
    """Meta-trains a variant and compares it; what was done before is not done again."""
    began = time.process_time()

    def tell(iteration: int, loss: float) -> None:
        if iteration % 100 == 0:
            print(f"{name}: {iteration} meta-steps, loss {loss:.3f}", file=sys.stderr, flush=True)

    recipe = VARIANTS[name](find_recipe("mlp-v1"))
    made = meta_train(recipe, out=out / name, workers=workers, progress=tell)
    problems = validation_problems()
    results = evaluate(out / name, out / "validation", problems=problems, seeds=SEEDS, workers=workers)
    found = [c for c in compare_all(results) if c.rival == "adam"]
    print(f"{name}: {time.process_time() - began:.0f} CPU seconds in this call", file=sys.stderr)
    return {
        "sha256": load(out / name).manifest["sha256"],
        "meta_steps": len(made.curve),
        "against_adam": [asdict(comparison) for comparison in found],
    }


def table(results: dict[str, dict[str, object]]) -> str:
    """A line a variant: ln(training loss / Adam's) after each number of steps, and wins."""
    lines = [f"{'variant':<18}" + "".join(f"{f'{step} steps':>22}" for step in STEPS)]
    for name, result in results.items():
        cells = []
        for c in result["against_adam"]:  # type: ignore[union-attr]
            if c["metric"] == "train_loss":
                gap = f"{c['difference']:+.3f} +- {c['half_width']:.3f}"
                cells.append(f"{gap:>16}{c['wins']:>3g}/{c['problems']}")
        lines.append(f"{name:<18}" + "".join(f"{cell:>22}" for cell in cells))
    return "\n".join(lines)


def main() -> None:
    """Prints the table, and keeps it."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("variants", nargs="*", metavar="VARIANT", help=f"of {', '.join(VARIANTS)}")
    parser.add_argument("--out", type=Path, default=Path("runs/study-learned"))
    parser.add_argument("--workers", type=int, default=1)
    options = parser.parse_args()
    if unknown := set(options.variants) - set(VARIANTS):
        parser.error(f"unknown variant {', '.join(sorted(unknown))}; known: {', '.join(VARIANTS)}")
    torch.set_num_threads(1)
    kept = json.loads(RESULTS.read_text(encoding="utf-8"))["variants"] if RESULTS.is_file() else {}
    for name in options.variants or VARIANTS:
        kept[name] = measure(name, options.out, options.workers)
        document = {
            "command": "make study-learned",
            "problems": [problem.name for problem in validation_problems()],
            "seeds": SEEDS,
            "variants": {name: kept[name] for name in VARIANTS if name in kept},
        }
        replace_file(RESULTS, json.dumps(document, indent=1) + "\n")
        print(table(document["variants"]), flush=True)


if __name__ == "__main__":
    main()
