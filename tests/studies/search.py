"""The searchers' study: every core searcher on every task of a space's table, and what that supports.

Run by `make study`, or `python tests/studies/search.py --help`. A study that was interrupted goes on where it stopped.
It calls two commands, which it prints: `metabench search` into the run folder, then `metabench report` for the page and
the claims. Left out, and said so: the greedy portfolio where the table has no other task to learn from, Optuna's TPE
where optuna is not installed.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import shlex
import sys
import time
from pathlib import Path

from metabench.analysis.claims_page import claims_in_short
from metabench.cli.main import main as metabench
from metabench.errors import MetabenchError
from metabench.searchers import SEARCHERS
from metabench.tables.table import find_table, open_table

CORE = (
    "random",
    "regularized-evolution",
    "local-search",
    "successive-halving",
    "hyperband",
    "asha",
    "smac",
    "smac-multi-fidelity",
    "bananas",
    "greedy-portfolio",
    "tpe",
)
ABOUT = ("smac", "smac-multi-fidelity")
BEGIN, END = "<!-- study -->", "<!-- /study -->"


def tasks_of(space: str) -> tuple[list[str], bool]:
    """The tasks of the space's table that have a finished training, as ``space/task``, and whether all are complete."""
    manifest = open_table(find_table(space)).manifest
    found, complete = [], True
    for task, about in manifest["tasks"].items():
        whole = manifest["architectures"] * max(len(about["seeds"]), 1)
        if about["finished"]:
            found.append(f"{space}/{task}")
        if about["finished"] < whole:
            complete = False
            say(f"note: {space}/{task} has {about['finished']:,} of {whole:,} trainings.")
    return found, complete


def searchers_for(tasks: list[str], without: list[str]) -> list[str]:
    """The core searchers that can run here."""
    left = dict.fromkeys(without, "left out by --without")
    if len(tasks) < 2:
        left.setdefault("greedy-portfolio", "left out: the table has no other task to learn from")
    if importlib.util.find_spec("optuna") is None:
        left.setdefault("tpe", "left out: optuna is not installed; pip install 'metabench[optuna]'")
    for name, why in left.items():
        say(f"note: {name} {why}.")
    return [name for name in CORE if name not in left]


def run(*words: str) -> int:
    """One command of metabench, printed first."""
    say(f"+ {shlex.join(['metabench', *words])}")
    return metabench(words)


def write_readme(readme: Path, claims: Path) -> None:
    """Puts the claims in short between the two marks of a page, if it has them."""
    text = readme.read_text(encoding="utf-8")
    if BEGIN not in text or END not in text:
        say(f"note: {readme} has no lines {BEGIN} and {END} to write between; it stays as it is.")
        return
    found = json.loads((claims / "summary.json").read_text(encoding="utf-8"))
    before, after = text.split(BEGIN, 1)[0], text.split(END, 1)[1]
    short = claims_in_short(found, claims.as_posix())
    readme.write_text(f"{before}{BEGIN}\n\n{short}\n\n{END}{after}", encoding="utf-8")
    say(f"readme: {readme}")


def say(text: str) -> None:
    print(text, flush=True)


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--space", default="cells-v1", help="a space with a table")
    parser.add_argument("--trials", type=int, default=200, help="budget of a run in full trainings")
    parser.add_argument("--seeds", type=int, default=20, help="runs of each searcher on each task")
    parser.add_argument("--workers", type=int, default=2, help="processes for the slow searchers")
    parser.add_argument("--out", type=Path, default=Path("runs/study"), help="the run folder")
    parser.add_argument("--claims", type=Path, help="where the claims go; OUT/claims if left out")
    parser.add_argument("--readme", type=Path, help="a page to put the claims in short into, between its marks")
    parser.add_argument(
        "--without", nargs="*", default=[], choices=CORE, metavar="SEARCHER", help="searchers to leave out"
    )
    parser.add_argument("--dry-run", action="store_true", help="only say what would be run, and what it would cost")
    options = parser.parse_args(arguments)
    assert set(CORE) <= set(SEARCHERS.names())
    try:
        tasks, complete = tasks_of(options.space)
    except MetabenchError as error:
        say(f"study: {error}")
        return 2
    searchers = searchers_for(tasks, options.without)
    numbers = ["--trials", str(options.trials), "--seeds", str(options.seeds), "--workers", str(options.workers)]
    search = ["search", *searchers, "--on", *tasks, *numbers, "--out", str(options.out)]
    if options.dry_run:
        return run(*search, "--dry-run")
    begin = time.perf_counter()
    failed = run(*search)
    if failed > 1:  # 1 says that some runs failed, which the report shows
        return failed
    claims = options.claims or options.out / "claims"
    about = [name for name in ABOUT if name in searchers]
    code = run("report", str(options.out), "--claims", str(claims), *(["--about", *about] if about else []))
    if code == 0 and options.readme is not None:
        if complete and not failed:
            write_readme(options.readme, claims)
        else:
            say(f"note: {options.readme} stays as it is: the table or the study is not complete.")
    say(f"study: {time.perf_counter() - begin:,.0f} s")
    return code or failed


if __name__ == "__main__":
    sys.exit(main())
