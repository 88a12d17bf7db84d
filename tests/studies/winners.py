"""Trains the configurations that a surrogate takes for the best, and as many random ones, and compares.

usage: python tests/studies/winners.py [SPACE/TASK...] [--best K] [--runs DIR] [--out DIR]      (make study-winners)

The best are those of 10,000 configurations drawn at random, none of which the surrogate was fitted to; each is trained
with three seeds. A surrogate's best are chosen for their errors too, so they do worse than predicted; the random ones
show how much of that is bias of the surrogate. Goes on where it was interrupted.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

import metabench
from metabench.cli.output import Column, print_table
from metabench.errors import MetabenchError

TASKS = ("joint-v1/spirals-v1", "joint-v1/letter-v1")
METRICS = ("val_score", "test_score")


def chosen(surrogate: Any, count: int) -> dict[str, list[int]]:
    """Codes of the best that the surrogate knows, and of random configurations."""
    best = [result.code for result in surrogate.best(count)]
    drawn = [code for code in surrogate.sample(2 * count, 1).tolist() if code not in best]
    return {"best predicted": best, "random": drawn[:count]}


def trained(name: str, codes: list[int], journal: Path) -> dict[int, list[float]]:
    """Code -> mean validation and test score over the seeds of a live training; known ones are read from a journal."""
    known: dict[int, list[float]] = {}
    if journal.is_file():
        for line in journal.read_text(encoding="utf-8").splitlines():
            row = json.loads(line)
            known[row["code"]] = row["scores"]
    live = metabench.open(name, kind="live")
    journal.parent.mkdir(parents=True, exist_ok=True)
    with journal.open("a", encoding="utf-8") as file:
        for i, code in enumerate(codes):
            if code not in known:
                result = live.query(code)
                known[code] = [result.val_score, result.test_score]
                file.write(json.dumps({"code": code, "scores": known[code]}) + "\n")
                file.flush()
            if sys.stderr.isatty():
                print(f"\r{name}: {i + 1} of {len(codes)}", end="", file=sys.stderr, flush=True)
    return known


def compared(predicted: np.ndarray, found: np.ndarray) -> dict[str, Any]:
    """Means, mean error with its 95% interval, and the best; ``(configurations, metrics)`` each."""
    error = (predicted - found)[:, 1]
    half = 1.96 * error.std(ddof=1) / len(error) ** 0.5
    first = int(np.argmax(found[:, 0]))
    return {
        "configurations": len(found),
        "predicted_test_score": float(predicted[:, 1].mean()),
        "trained_test_score": float(found[:, 1].mean()),
        "predicted_minus_trained": [float(error.mean()), float(error.mean() - half), float(error.mean() + half)],
        "test_score_of_best_by_validation": float(found[first, 1]),
    }


def of_the_sample(surrogate: Any) -> float:
    """Test score of the best, by validation, of the configurations that the surrogate was fitted to (first seed)."""
    from metabench.tables.joint_data import open_joint

    _, data = open_joint(surrogate.space_definition, [surrogate.task.id])[surrogate.task.id]
    val, test = (data.values[:, 0, -1, data.metrics.index(metric)] for metric in METRICS)
    return float(test[int(np.nanargmax(val))])


def study(name: str, count: int, runs: Path) -> dict[str, Any]:
    """One task."""
    surrogate = metabench.open(name, kind="surrogate")
    groups = chosen(surrogate, count)
    journal = runs / f"{name.replace('/', '--')}.jsonl"
    known = trained(name, [code for codes in groups.values() for code in codes], journal)
    out: dict[str, Any] = {"test_score_of_best_trained_before": of_the_sample(surrogate)}
    for group, codes in groups.items():
        predicted = surrogate.query_batch(codes, metrics=METRICS).astype(np.float64)
        out[group] = compared(predicted, np.array([known[code] for code in codes]))
    return out


def show(found: dict[str, Any]) -> None:
    """Prints the table."""
    columns = [
        Column("benchmark", "left"),
        Column("configurations", "left"),
        Column("trained"),
        Column("predicted\n[%]"),
        Column("found\n[%]"),
        Column("predicted - found\n[points] (95%)"),
        Column("best found\n[%]"),
        Column("best of the\nsample [%]"),
    ]
    rows = []
    for name, task in found.items():
        for group in ("best predicted", "random"):
            one = task[group]
            middle, low, high = (100 * x for x in one["predicted_minus_trained"])
            rows.append(
                [
                    name,
                    group,
                    str(one["configurations"]),
                    f"{100 * one['predicted_test_score']:.1f}",
                    f"{100 * one['trained_test_score']:.1f}",
                    f"{middle:.1f} ({low:.1f} to {high:.1f})",
                    f"{100 * one['test_score_of_best_by_validation']:.1f}",
                    f"{100 * task['test_score_of_best_trained_before']:.1f}" if group == "best predicted" else "",
                ]
            )
    caption = "Test scores at the last epoch, means of three seeds; the best are chosen by validation."
    print_table("What a surrogate's best configurations are worth", columns, rows, caption=caption)


def main() -> None:
    """Runs all tasks, writes and prints."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*", default=list(TASKS), metavar="SPACE/TASK")
    parser.add_argument("--best", type=int, default=20, metavar="K", help="configurations of each kind; 20")
    parser.add_argument("--runs", type=Path, default=Path("runs/winners"), help="what was trained; runs/winners")
    parser.add_argument("--out", type=Path, default=Path("surrogates/joint-v1/study"), help="where winners.json goes")
    options = parser.parse_args()
    if options.best < 2:
        parser.error(f"--best {options.best}: expected at least 2.")
    torch.set_num_threads(1)
    try:
        found = {name: study(name, options.best, options.runs) for name in options.names}
    except MetabenchError as error:
        parser.error(str(error))
    options.out.mkdir(parents=True, exist_ok=True)
    (options.out / "winners.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    show(found)


if __name__ == "__main__":
    main()
