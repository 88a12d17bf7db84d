"""Implicit layers beside their peers: python tests/benchmarks/layers.py --help.

It needs the peers' environment (make .venv-peers); a peer that is missing is a line in the table.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path

import equilibrium_case
import ode_case
import program_case
import report
import simplex_case
import torch
from contest import Case, Goal, measure
from rich.console import Console

PAGE = Path(__file__).parents[2] / "metabench" / "layers" / "README.md"

# The goals are the project's own, set from what the peers needed before this was written.
_ODE_GOALS = (Goal("floor", 2.2), Goal("speed-up", 1.0, "torchdyn"), Goal("value", 1e-3))
CASES: dict[str, Callable[[], Case]] = {
    "deq": partial(
        equilibrium_case.make,
        "deq",
        0.45,
        symmetric=False,
        gradient_limit=1e-5,
        goals=(Goal("floor", 3.0), Goal("speed-up", 3.0, "torchdeq"), Goal("gradient", 1e-5)),
    ),
    "deq-slow": partial(
        equilibrium_case.make,
        "deq-slow",
        0.94,
        symmetric=True,
        gradient_limit=5e-5,
        goals=(Goal("speed-up", 8.0, "torchdeq"), Goal("gradient", 5e-5)),
    ),
    "ode": partial(ode_case.make, "ode", 64, goals=_ODE_GOALS),
    "ode-512": partial(ode_case.make, "ode-512", 512, goals=_ODE_GOALS),
    "qp": partial(
        program_case.make,
        "qp",
        goals=(
            Goal("ms", 9.0),
            Goal("speed-up", 2.4, "qpth"),
            Goal("speed-up", 14.0, "cvxpylayers"),
            Goal("value", 1e-10),
            Goal("gradient", 1e-6),
        ),
    ),
    "simplex": partial(simplex_case.make, "simplex", goals=(Goal("floor", 2.0),)),
}


def main() -> int:
    """Measures the cases that were asked for."""
    parser = argparse.ArgumentParser(description="Implicit layers beside their peers.")
    parser.add_argument("--cases", nargs="+", choices=CASES, default=list(CASES), help="which cases; all by default")
    parser.add_argument("--repeats", type=int, default=15, help="interleaved runs of every contender")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write everything that was measured")
    parser.add_argument("--page", action="store_true", help=f"write the tables into {PAGE.parent.name}/{PAGE.name}")
    chosen = parser.parse_args()
    if chosen.repeats < 1:
        parser.error(f"--repeats {chosen.repeats}: expected at least 1")
    if chosen.page and set(chosen.cases) != set(CASES):
        parser.error("--page replaces every table; leave out --cases")
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")  # the peers' deprecations
    progress, console = Console(stderr=True), Console(width=None if sys.stdout.isatty() else 160)
    results = []
    with progress.status("") as status:
        for name in chosen.cases:
            status.update(f"{name}: exact reference")
            results.append(measure(CASES[name](), chosen.repeats, status.update))
    console.print(report.setting() + "\n", highlight=False)
    for result in results:
        report.show(result, console)
    if chosen.json:
        chosen.json.write_text(json.dumps(report.as_json(results, chosen.repeats), indent=1) + "\n")
    if chosen.page:
        report.write_page(PAGE, report.markdown(results, chosen.repeats))
    return 0


if __name__ == "__main__":
    sys.exit(main())
