"""``metabench report``: what run folders show, as one page to share, figures for papers, JSON, or an Optuna storage."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from metabench.cli.numbers import write_number
from metabench.cli.output import Column, print_json, print_table, short_path
from metabench.cli.parse import optional
from metabench.errors import ArgumentError

__all__ = ["Options", "run"]


@dataclass(frozen=True)
class Options:
    """Compare the runs of search folders: one self-contained HTML page, figures, JSON, or an Optuna storage."""

    runs: Annotated[tyro.conf.Positional[tuple[Path, ...]], optional("RUN...")] = ()
    """Folders that 'metabench search --out RUN' made."""
    out: Annotated[Path | None, optional("FILE")] = None
    """The page; report.html in the first folder if left out."""
    figures: Annotated[Path | None, optional("DIR")] = None
    """Also draw the figures for a paper, PNG and PDF, into this folder."""
    claims: Annotated[Path | None, optional("DIR")] = None
    """Also write what the runs support, small enough to ship: README.md, summary.json and PNG figures."""
    about: Annotated[tuple[str, ...], optional("SEARCHER...")] = ()
    """Searchers that the claims look at closely, task by task: where each is not the best, and who is better."""
    optuna: Annotated[str | None, optional("STORAGE")] = None
    """Also export the trials, one study a run: sqlite:///FILE.db or journal:FILE; for optuna-dashboard."""
    json: bool = False
    """Print all numbers of the report as one JSON document; the page is then made only with --out."""


def run(options: Options) -> None:
    """Reads, renders and says where the page is."""
    if not options.runs:
        raise ArgumentError("name at least one run folder, as in: metabench report runs/quickstart.")
    if options.out is not None and options.out.is_dir():
        raise ArgumentError(f"--out {options.out} is a folder; expected the name of a file, as report.html.")
    if options.about and options.claims is None:
        raise ArgumentError("--about is for the claims; add --claims DIR.")
    from metabench.analysis.comparison import compare
    from metabench.analysis.report import report_on
    from metabench.analysis.runs import read_folder

    comparison = compare([read_folder(path) for path in options.runs])
    document = report_on(comparison, command=_command(options))
    made: list[tuple[str, str]] = []
    if options.out is not None or not options.json:
        page = options.out or options.runs[0] / "report.html"
        made.append(("page", f"{short_path(page)} ({_write_page(page, document) / 1000:,.0f} kB)"))
    if options.figures is not None:
        from metabench.analysis.paper import save_figures

        made += [("figure", short_path(path)) for path in save_figures(document, options.figures)]
    if options.claims is not None:
        from metabench.analysis.claims_page import write_claims

        written = write_claims(comparison, document, options.claims, options.about)
        made += [("claims", short_path(path)) for path in written]
    if options.optuna is not None:
        from metabench.analysis.optuna_export import export_to_optuna

        made.append(("optuna", export_to_optuna(comparison, options.optuna)))
    if options.json:
        print_json(document)
    else:
        _print_report(document, made)


def _command(options: Options) -> str:
    words = ["metabench", "report", *map(short_path, options.runs)]
    for option, value in (("--out", options.out), ("--figures", options.figures), ("--claims", options.claims)):
        words += [] if value is None else [option, short_path(value)]
    words += ["--about", *options.about] if options.about else []
    words += [] if options.optuna is None else ["--optuna", options.optuna]
    return shlex.join(words)


def _write_page(path: Path, document: dict[str, Any]) -> int:
    """Writes the page and returns its size in bytes."""
    from metabench.analysis.page import render_page

    content = render_page(document).encode("utf-8")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return len(content)


def _print_report(document: dict[str, Any], made: list[tuple[str, str]]) -> None:
    for number, task in enumerate(document["tasks"]):
        if number:
            print()
        _print_task(task["label"], document)
    print()
    from metabench.analysis.findings import findings

    for line in findings(document):
        print(line)
    for note in document["notes"]:
        print(f"note: {note}")
    for gap in document["gaps"]:
        print(f"missing: {gap['searcher']} on {gap['task']}, seed {gap['seed']}: {gap['reason']}")
    for what, where in made:
        print(f"{what}: {where}")


def _print_task(task: str, document: dict[str, Any]) -> None:
    rows = [row for row in document["leaderboard"] if row["task"] == task]
    columns = [
        Column("searcher", "left"),
        Column("runs"),
        Column("median\n[points]"),
        Column("quartiles"),
        Column("IQM"),
    ]
    columns.append(Column("95 %\ninterval"))
    cells = [
        [
            row["searcher"],
            str(row["runs"]) if row["runs"] == row["planned"] else f"{row['runs']} of {row['planned']}",
            _points(row["test"]["median"]),
            _pair(row["test"]) if row["runs"] > 1 else "-",
            _points((row["interval"] or {}).get("value")),
            _pair(row["interval"] or {}),
        ]
        for row in rows
    ]
    measure = rows[0]["measure"]
    caption = f"Test {measure} of the incumbent, chosen on validation, after {document['budget']:,} full trainings."
    print_table(f"{task}", columns, cells, caption=caption)


def _points(value: float | None) -> str:
    return write_number(None if value is None else 100 * value, ".2f")


def _pair(spread: dict[str, Any]) -> str:
    if spread.get("lower") is None:
        return "-"
    return f"{_points(spread['lower'])} to {_points(spread['upper'])}"
