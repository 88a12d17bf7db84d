"""Queries beside the peers: import, opening, single and batch queries, in one run (make bench-query).

Writes a synthetic table of full size (cells-v1: 1,885 architectures x 5 tasks x 5 seeds x 12 epochs, random numbers)
into a temporary folder. Every contender is a process of its own; they take turns, and the table has the medians.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
from datetime import date
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
sys.path[:0] = [str(HERE), str(ROOT)]

from query_case import CASES  # noqa: E402

GOALS = {
    "import": ("import metabench", 0.15, "s"),
    "open": ("open", 0.005, "s"),
    "code": ("query by code", 700e3, "/s"),
    "code, first": ("query by code, the first of a slice included", 700e3, "/s"),
    "dict": ("query by validated dict", 50e3, "/s"),
    "batch": ("batch query, mean", 10e6, "rows/s"),
    "batch, one seed": ("batch query, one seed", 10e6, "rows/s"),
    "batch, a seed a row": ("batch query, a seed a row", 10e6, "rows/s"),
}
COLUMNS = ("import", "first answer", "open", "code", "dict", "batch")


def write(folder: Path) -> None:
    """The synthetic table, and its configurations in the order of its rows."""
    from synthetic import write_table

    from metabench.spaces import load_space

    write_table(folder / "surrogates" / "cells-v1")
    space = load_space("cells-v1")
    names = [space.blocks_of[code] for code in space.canonical_codes.tolist()]
    rows = [{f"stage{i + 1}": name for i, name in enumerate((*own, "skip", "skip", "skip")[:3])} for own in names]
    (folder / "configurations.json").write_text(json.dumps(rows))


def run(name: str, folder: Path, python: str) -> dict[str, Any]:
    """One turn of one contender."""
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT) if name == "metabench" else ""}
    interpreter = sys.executable if name == "metabench" else python

    def output(*arguments: str) -> str:
        command = [interpreter, *arguments]
        done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300, check=False)
        return done.stdout.splitlines()[-1] if done.returncode == 0 else ""

    script = f"import time; start = time.process_time(); {CASES[name][0]}; print(time.process_time() - start)"
    bare = output("-c", script)
    rest = output(str(HERE / "query_case.py"), name, str(folder))
    found = json.loads(rest) if rest else {"name": name, "version": "", "note": "not measured: its process failed"}
    return {**found, "import": float(bare)} if bare else found


def medians(turns: list[dict[str, Any]]) -> dict[str, Any]:
    """Each figure's median over the turns."""
    keys = [key for key, value in turns[0].items() if isinstance(value, float)]
    return {**turns[0], **{key: statistics.median(turn[key] for turn in turns if key in turn) for key in keys}}


def written(key: str, value: float | None) -> str:
    """A figure with its unit."""
    if value is None:
        return "-"
    if key in ("import", "first answer", "open"):
        return f"{value:.3f} s" if value >= 0.1 else f"{value * 1e3:.2f} ms"
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {letter}/s"
    return f"{value:.3g} /s"


def show(results: list[dict[str, Any]]) -> None:
    """The table, our goals and the ratios."""
    print(
        f"Measured on {date.today():%d %B %Y}, {platform.machine()}, Python {platform.python_version()}, one core, "
        "process-CPU time.\nThe table is synthetic: random numbers in the format of a real one.\n"
    )
    heads = ("", "version", "import", "first answer", "open", "by code", "by dict", "batch")
    rows = [(one["name"], one["version"] or "-", *(written(key, one.get(key)) for key in COLUMNS)) for one in results]
    widths = [max(len(row[i]) for row in (heads, *rows)) for i in range(len(heads))]
    for row in (heads, *rows):
        print(
            "  ".join(
                cell.rjust(w) if i else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
        )
    print()
    for result in results:
        if result.get("note"):
            print(f"{result['name']}: {result['note']}")
    own, peers = results[0], results[1:]
    print()
    for key, (label, limit, unit) in GOALS.items():
        if key not in own:
            continue
        met = own[key] <= limit if unit == "s" else own[key] >= limit
        line = f"{'reached' if met else 'MISSED'}: {label} {written(key, own[key])} (goal {written(key, limit)})"
        rivals = [(peer[key], peer["name"]) for peer in peers if isinstance(peer.get(key), float)]
        if rivals:
            value, name = min(rivals) if unit == "s" else max(rivals)
            ratio = value / own[key] if unit == "s" else own[key] / value
            line += f"; {ratio:.3g}x the best peer, {name}"
        print(line)


def main() -> int:
    parser = argparse.ArgumentParser(description="Queries beside the peers.")
    parser.add_argument("--peers", default=sys.executable, metavar="PYTHON", help="the peers' interpreter")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="contenders; ours is always one")
    parser.add_argument("--turns", type=int, default=5, help="how often each is measured")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the medians here too")
    chosen = parser.parse_args()
    if chosen.turns < 1:
        parser.error(f"--turns {chosen.turns}: expected at least 1")
    names = ["metabench", *(name for name in chosen.cases if name != "metabench")]
    turns: dict[str, list[dict[str, Any]]] = {name: [] for name in names}
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder))
        for turn in range(chosen.turns):
            for name in names[turn % len(names) :] + names[: turn % len(names)]:
                turns[name].append(run(name, Path(folder), chosen.peers))
    results = [medians(turns[name]) for name in names]
    show(results)
    if chosen.json:
        chosen.json.write_text(json.dumps(results, indent=1) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
