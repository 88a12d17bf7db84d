"""Meta-learners on the few-shot tasks at full length: four learners, three seeds, results as JSON and as a page.

usage: python tests/studies/few_shot.py [LINE...] [--out DIR]      all lines if none is named     (make study-few-shot)

A line is a learner and a task, as in maml/sinusoid-v1/10. Each seed has initial weights, problems and test problems
of its own. Training goes on where it was interrupted. Results go to surrogates/few-shot.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch

from metabench.files import replace_file
from metabench.learned.adaptation.train import few_shot_scores, make_learner, meta_train_few_shot
from metabench.problems.few_shot import load_few_shot

LEARNERS = ("maml", "meta-sgd", "anil", "reptile")
TASKS = (("sinusoid-v1", 10), ("sinusoid-v1", 5), ("letter-few-shot-v1", 5))
LINES = {f"{learner}/{task}/{shown}": (learner, task, shown) for (task, shown), learner in product(TASKS, LEARNERS)}
SEEDS = 3
REPTILE_STEPS = 10  # in meta-training
HOME = Path("surrogates/few-shot")
YARDSTICK = {  # of MAML, mean squared error after 1, 5 and 10 steps: the figures that were to be reached
    ("sinusoid-v1", 5): (0.755, 0.475, 0.422),
    ("sinusoid-v1", 10): (0.442, 0.161, 0.128),
}


def measure(learner_name: str, task_name: str, shown: int, seed: int, out: Path) -> dict[str, Any]:
    """Meta-trains and tests; means over the test problems after each number of inner steps."""
    task = load_few_shot(task_name)
    if shown != task.protocol.support:
        task = replace(task, protocol=replace(task.protocol, support=shown, query=shown))
    if learner_name == "reptile":
        task = replace(task, protocol=replace(task.protocol, inner_steps=REPTILE_STEPS))
    learner = make_learner(learner_name, task)
    loss, meta = meta_train_few_shot(task, learner, seed=seed, out=out)
    scores = few_shot_scores(task, learner, loss, meta, seed=seed)
    return {
        "steps": [score.steps for score in scores],
        "means": [_finite(score.mean) for score in scores],
        "half_widths": [_finite(score.half_width) for score in scores],
        "problems": scores[0].problems,
    }


def _finite(value: float) -> float | None:
    """None for a mean over problems of which one diverged."""
    return value if math.isfinite(value) else None


def _cell(column: Sequence[float | None]) -> str:
    """Mean and standard deviation over seeds."""
    known = [value for value in column if value is not None and math.isfinite(value)]
    if len(known) < len(column):
        return f"diverges with {len(column) - len(known)} of {len(column)}"
    return f"{statistics.fmean(known):.3f}" + (f" +- {statistics.stdev(known):.3f}" if len(known) > 1 else "")


def page(lines: dict[str, Any]) -> str:
    """The Markdown page."""
    text = [
        "# Few-shot learners on the tasks of the suite",
        "",
        "Written by `tests/studies/few_shot.py` (`make study-few-shot`); each seed's numbers are in `results.json`.",
        "Mean over seeds of the mean over 600 held-out problems; +- is the standard deviation over seeds.",
        "Meta-SGD learns a rate for every weight, for as many inner steps as meta-training takes (one on sinusoids,",
        f"five on letters): more can diverge. Reptile takes {REPTILE_STEPS} in meta-training: with one it would",
        "learn the average problem, not to adapt. The yardstick is what was to be reached, given beforehand.",
    ]
    for task, shown in TASKS:
        rows = {name: line for name, line in lines.items() if LINES[name][1:] == (task, shown)}
        if not rows:
            continue
        protocol, metric = load_few_shot(task).protocol, load_few_shot(task).metric
        unit = "mean squared error, less is better" if metric == "mse" else "accuracy"
        text += [
            "",
            f"`{task}`, {shown} shown, {protocol.iterations:,} meta-steps; {unit}, after so many inner steps:",
            "",
            "| learner | seeds | " + " | ".join(str(step) for step in protocol.test_steps) + " |",
            "| --- | ---: |" + " ---: |" * len(protocol.test_steps),
        ]
        for name, line in rows.items():
            cells = map(_cell, zip(*(seed["means"] for seed in line["seeds"].values()), strict=True))
            text.append(f"| {LINES[name][0]} | {len(line['seeds'])} | " + " | ".join(cells) + " |")
        if (task, shown) in YARDSTICK:
            cells = " | ".join(f"{value:.3f}" for value in YARDSTICK[task, shown])
            text.append(f"| MAML, the yardstick | | | {cells} |")
    return "\n".join(text) + "\n"


def main() -> None:
    """Does what is missing; writes results and page after every seed."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("lines", nargs="*", metavar="LINE", help=f"of {', '.join(LINES)}")
    parser.add_argument("--out", type=Path, default=Path("runs/study-few-shot"))
    options = parser.parse_args()
    if unknown := set(options.lines) - set(LINES):
        parser.error(f"unknown line {', '.join(sorted(unknown))}; known: {', '.join(LINES)}")
    torch.set_num_threads(1)
    results = HOME / "results.json"
    found: dict[str, Any] = json.loads(results.read_text(encoding="utf-8"))["lines"] if results.is_file() else {}
    for seed, name in product(range(SEEDS), options.lines or LINES):
        line = found.setdefault(name, {"seeds": {}})
        line["seeds"][str(seed)] = measure(*LINES[name], seed, options.out / name / str(seed))
        kept = {name: found[name] for name in LINES if name in found}
        HOME.mkdir(parents=True, exist_ok=True)
        replace_file(results, json.dumps({"command": "make study-few-shot", "lines": kept}, indent=1) + "\n")
        replace_file(HOME / "README.md", page(kept))
        print(f"{name}, seed {seed}: {line['seeds'][str(seed)]['means']}", file=sys.stderr, flush=True)
    print(page(found), end="")


if __name__ == "__main__":
    main()
