"""Renders a report's document as one self-contained HTML page."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from metabench.analysis.findings import findings, outcome_of_tests
from metabench.analysis.page_text import FILTERS

__all__ = ["render_page"]

_TEMPLATES = Path(__file__).with_name("templates")
_CHARTED = ("searchers", "clock", "anytime", "ranking", "summary", "tradeoff")


def render_page(document: dict[str, Any]) -> str:
    """The page of a document of :func:`metabench.analysis.report.build_report`: no file or network beside it."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader(_TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(FILTERS)
    return environment.get_template("report.html.j2").render(**_context(document))


def _context(document: dict[str, Any]) -> dict[str, Any]:
    searchers, tasks = document["searchers"], document["tasks"]
    seeds = max(row["runs"] for row in document["leaderboard"])
    many = len(searchers) > 4
    spaces = {task["space"] for task in tasks}
    on = f"{len(tasks)} tasks of {tasks[0]['space']}" if len(spaces) == 1 else f"{len(tasks)} tasks"
    on = tasks[0]["label"] if len(tasks) == 1 else on
    return {
        "doc": document,
        "title": f"{len(searchers)} searchers on {on}" if many else f"{_and(searchers)} on {on}",
        "subtitle": f"{_number(document['budget'], 'full training')} a run, {_number(seeds, 'seed')} each",
        "measures": " or ".join(sorted({task["measure"] for task in tasks}, reverse=True)),
        "several_seeds": seeds > 1,
        "has_time": all("seconds" in entry["curves"] for entry in document["anytime"]),
        "sections": _sections(document),
        "findings": findings(document),
        "test_line": outcome_of_tests(document) if document["ranking"] else "",
        "overall": _overall(document),
        "heat": _heat(document),
        "rank_table": _rank_table(document["ranking"]),
        "profile_table": _profile_table(document["summary"]),
        "data": _data(document),
    }


def _data(document: dict[str, Any]) -> Any:
    """The numbers of the figures as JSON that cannot end its script element."""
    from markupsafe import Markup

    charted = {key: document[key] for key in _CHARTED}
    charted["anytime"] = [
        {key: value for key, value in entry.items() if key != "tables"} for entry in document["anytime"]
    ]
    text = json.dumps(charted, separators=(",", ":"), ensure_ascii=False, allow_nan=False)
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def _sections(document: dict[str, Any]) -> list[tuple[str, str]]:
    several = len(document["searchers"]) > 1
    wanted = [
        ("findings", "At a glance", True),
        ("leaderboard", "Leaderboard", True),
        ("anytime", "Anytime", True),
        ("ranks", "Ranks", bool(document["ranking"])),
        ("summary", "All runs", bool(document["summary"]) and several),
        ("tradeoffs", "Cost", bool(document["tradeoff"])),
        ("card", "Tables and surrogates", bool(document["cards"])),
        ("provenance", "Provenance", True),
    ]
    return [(anchor, name) for anchor, name, there in wanted if there]


def _overall(document: dict[str, Any]) -> list[dict[str, Any]]:
    """One row a searcher over all tasks, lowest interquartile mean first."""
    if not document["summary"]:
        return []
    rows = []
    for index, searcher in enumerate(document["searchers"]):
        own = [row for row in document["leaderboard"] if row["searcher"] == searcher]
        known = [row["overhead_per_trial"] for row in own if row["overhead_per_trial"] is not None]
        rows.append(
            {
                "index": index,
                "searcher": searcher,
                "mean": document["summary"]["interquartile_means"][index],
                "rank": document["ranking"]["mean_ranks"][index] if document["ranking"] else None,
                "runs": sum(row["runs"] for row in own),
                "planned": sum(row["planned"] for row in own),
                "failed": sum(row["failed"] for row in own),
                "overhead": sum(known) / len(known) if known else None,
            }
        )
    return sorted(rows, key=lambda row: (row["mean"]["value"] is None, row["mean"]["value"]))


def _heat(document: dict[str, Any]) -> list[dict[str, Any]]:
    """Median test losses, searchers x tasks, with a shade from 0 (worst of the task) to 1 (best)."""
    by_pair = {(row["searcher"], row["task"]): row for row in document["leaderboard"]}
    spans = {}
    for task in document["tasks"]:
        known = [
            row["test"]["median"]
            for (_, on), row in by_pair.items()
            if on == task["label"] and row["test"]["median"] is not None
        ]
        spans[task["label"]] = (min(known), max(known)) if known else (0.0, 0.0)
    rows = []
    for index, searcher in enumerate(document["searchers"]):
        cells = []
        for task in document["tasks"]:
            row = by_pair.get((searcher, task["label"]))
            median = row["test"]["median"] if row else None
            low, high = spans[task["label"]]
            shade = 0.0 if median is None else 1.0 if high == low else (high - median) / (high - low)
            missing = row["planned"] - row["runs"] if row else 0
            cells.append({"median": median, "shade": round(shade, 3), "best": median == low, "missing": missing})
        rows.append({"index": index, "searcher": searcher, "cells": cells})
    return rows


def _rank_table(ranking: dict[str, Any] | None) -> dict[str, Any]:
    """Mean ranks at a handful of points of the grid."""
    if not ranking:
        return {"at": [], "rows": []}
    grid, ranks = ranking["over_evaluations"]["x"], ranking["over_evaluations"]["mean_ranks"]
    wanted = [place for place, x in enumerate(grid) if x in (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000)]
    places = sorted({*wanted, len(grid) - 1})
    return {"at": [grid[place] for place in places], "rows": [[row[place] for place in places] for row in ranks]}


def _profile_table(summary: dict[str, Any] | None) -> dict[str, Any]:
    """Every sixth threshold of the profiles."""
    if not summary:
        return {"at": [], "rows": []}
    places = sorted({*range(0, len(summary["thresholds"]), 6), len(summary["thresholds"]) - 1})
    return {
        "at": [summary["thresholds"][place] for place in places],
        "rows": [[profile["share"][place] for place in places] for profile in summary["profiles"]],
    }


def _number(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
