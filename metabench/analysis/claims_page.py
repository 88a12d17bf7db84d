"""Writes what a study claims into a folder small enough to ship: numbers, a Markdown page and figures."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metabench.analysis.claims import BASELINE, claims, ranks_at, verdict_on_task
from metabench.analysis.comparison import Comparison
from metabench.analysis.page_text import FILTERS
from metabench.analysis.paper import draw_study
from metabench.analysis.rivals import rivals_section
from metabench.analysis.significance import ALPHA
from metabench.files import replace_file

__all__ = ["claims_document", "claims_in_short", "claims_markdown", "write_claims"]

_KEPT = ("schema", "command", "searchers", "tasks", "budget", "clock", "notes", "gaps", "leaderboard")
_RANKING = (
    "blocks",
    "tasks",
    "alpha",
    "mean_ranks",
    "friedman",
    "friedman_rejects",
    "friedman_over_tasks",
    "p_values",
    "cliques",
)
_SUMMARY = ("tasks", "scaled", "confidence", "resamples", "interquartile_means", "improvement")
"""Parts of a report's document; curves, profiles and trade-offs, which are long, are left out."""


def claims_document(comparison: Comparison, document: Mapping[str, Any], about: Sequence[str] = ()) -> dict[str, Any]:
    """The numbers behind the claims, and the claims.

    Args:
        comparison: the runs.
        document: of :func:`metabench.analysis.report.report_on` on them.
        about: searchers to look at closely: where each is not the best.

    Raises:
        ArgumentError: if a searcher of ``about`` has no finished run.
    """
    rivals = rivals_section(comparison, about)
    ranking, summary = document["ranking"], document["summary"]
    return {
        **{key: document[key] for key in _KEPT},
        "seeds": max(cell.planned for cell in comparison.cells.values()),
        "ranking": ranking and {key: ranking[key] for key in _RANKING},
        "ranks_at": {str(number): ranks for number, ranks in ranks_at(document).items()},
        "summary": summary and {key: summary[key] for key in _SUMMARY},
        "rivals": rivals,
        "claims": claims(dict(document), rivals),
        "provenance": document["provenance"],
    }


def write_claims(
    comparison: Comparison, document: Mapping[str, Any], folder: Path, about: Sequence[str] = ()
) -> list[Path]:
    """Writes ``summary.json``, ``README.md`` and PNG figures; returns the files.

    Args:
        comparison: the runs.
        document: of :func:`metabench.analysis.report.report_on` on them.
        folder: made if it is not there.
        about: as in :func:`claims_document`.
    """
    found = claims_document(comparison, document, about)
    folder.mkdir(parents=True, exist_ok=True)
    numbers, page = folder / "summary.json", folder / "README.md"
    replace_file(numbers, json.dumps(found, indent=1, ensure_ascii=False, allow_nan=False) + "\n")
    figures = draw_study(dict(document), folder)
    replace_file(page, claims_markdown(found, [path.name for path in figures]))
    return [numbers, page, *figures]


def claims_markdown(found: Mapping[str, Any], figures: Sequence[str] = ()) -> str:
    """The page, out of :func:`claims_document`'s numbers.

    Args:
        found: the numbers.
        figures: names of the images beside it.
    """
    parts = [f"# {_title(found)}\n", _setting(found), "## Claims\n", _bullets(found)]
    parts += [_image("regret.png", "Test regret of the incumbent against full trainings", figures)]
    parts += ["## Final test loss\n", _by_task(found)]
    if found["summary"]:
        parts += ["## All tasks together\n", _overall(found)]
        for name, text in _FIGURES.items():
            parts.append(_image(name, text, figures))
    if found["ranks_at"]:
        parts += ["## Mean ranks over the search\n", _ranks(found), _image("mean-ranks.png", "Mean ranks", figures)]
    alpha = found["ranking"]["alpha"] if found["ranking"] else ALPHA
    for entry in found["rivals"]:
        parts += [f"## {entry['searcher']}, task by task\n", _rivals(entry, alpha)]
    if found["gaps"]:
        missing = [
            f"- {gap['searcher']} on {gap['task']}, seed {gap['seed']}: {gap['reason']}" for gap in found["gaps"]
        ]
        parts += ["## Missing runs\n", "\n".join([*missing, ""])]
    parts += ["## Provenance\n", _provenance(found)]
    return "\n".join(part for part in parts if part)


def claims_in_short(found: Mapping[str, Any], folder: str) -> str:
    """A few paragraphs for another page: a figure, the table over all tasks, and the claims but those on single tasks.

    Args:
        found: as in :func:`claims_markdown`.
        folder: of the study's page, as seen from the other page.
    """
    topics = [claim["topic"] for claim in found["claims"]]
    close = {entry["searcher"] for entry in found["rivals"]}
    kept = [
        claim
        for place, claim in enumerate(found["claims"])
        if claim["topic"] not in close or topics[:place].count(claim["topic"]) < 2  # overall, and task by task
    ]
    bullets = "\n".join(f"- {claim['text']}" for claim in kept)
    head = f"![Test regret of the incumbent against full trainings]({folder}/regret.png)\n\n"
    table = f"{_overall(found)}\n" if found["summary"] else ""
    return f"{head}{bullets}\n\n{table}[All numbers, figures and tests]({folder}/README.md)."


_FIGURES = {
    "critical-difference.png": "Mean ranks; bars join searchers that cannot be told apart",
    "interquartile-mean.png": "Interquartile mean of final test regret with 95 % intervals",
    "probability-of-improvement.png": "Probability that the row's run ends better than the column's",
}


def _title(found: Mapping[str, Any]) -> str:
    tasks, searchers = found["tasks"], found["searchers"]
    on = tasks[0]["label"] if len(tasks) == 1 else f"{len(tasks)} tasks"
    return f"{len(searchers)} searcher{'s' if len(searchers) > 1 else ''} on {on}"


def _setting(found: Mapping[str, Any]) -> str:
    tasks = ", ".join(f"`{task['label']}`" for task in found["tasks"])
    made = f" by `{found['command']}`" if found["command"] else ""
    lines = [
        f"{found['seeds']} seeds of {found['budget']:,} full trainings each on {tasks}. Written{made}; every sentence "
        "and number here follows from `summary.json`, none is written by hand.",
        "",
        "Losses are those of the incumbent, chosen on one replicate's validation score, as the mean over replicates of "
        "its test score falls short of the best of the table (points: percentage points of the score). Intervals are "
        "95 % bootstrap intervals over runs, stratified by task. *Ends better* asks for two things at once: the "
        "interval of the probability that a run ends lower leaves out one half, and Wilcoxon's test with Holm's "
        "correction rejects (signed ranks over blocks of task and seed; on one task the exact rank-sum test).",
        "",
    ]
    return "\n".join(lines)


def _bullets(found: Mapping[str, Any]) -> str:
    lines = [f"- {claim['text']}" for claim in found["claims"]]
    lines += [f"- Note: {note}" for note in found["notes"]]
    return "\n".join([*lines, ""])


def _by_task(found: Mapping[str, Any]) -> str:
    """Searchers by tasks: median and quartiles, the lowest median of a task in bold."""
    rows = {(row["searcher"], row["task"]): row for row in found["leaderboard"]}
    labels = [task["label"] for task in found["tasks"]]
    lowest = {
        label: min((row["test"]["median"] for (_, on), row in rows.items() if on == label and _has(row)), default=None)
        for label in labels
    }
    body = []
    for searcher in _ordered(found):
        cells = []
        for label in labels:
            row = rows.get((searcher, label))
            if row is None or not _has(row):
                cells.append("no run")
                continue
            test = row["test"]
            text = _points(test["median"])
            text = f"**{text}**" if test["median"] == lowest[label] else text
            spread = f" ({_points(test['lower'])} to {_points(test['upper'])})" if row["runs"] > 1 else ""
            missing = "" if row["runs"] == row["planned"] else f", {row['runs']} of {row['planned']} runs"
            cells.append(f"{text}{spread}{missing}")
        body.append([searcher, *cells])
    heads = ["searcher", *(FILTERS["short_task"](label, found["tasks"]) for label in labels)]
    lead = f"Median (quartiles) over runs after {found['budget']:,} full trainings, points.\n\n"
    return lead + _table(heads, body)


def _has(row: Mapping[str, Any]) -> bool:
    return row["test"]["median"] is not None


def _overall(found: Mapping[str, Any]) -> str:
    names, summary, ranking = found["searchers"], found["summary"], found["ranking"]
    against = [name for name in (BASELINE, *(entry["searcher"] for entry in found["rivals"])) if name in names]
    against = against if len(names) > 1 else []
    body = []
    for searcher in _ordered(found):
        i = names.index(searcher)
        mean = summary["interquartile_means"][i]
        own = [row for row in found["leaderboard"] if row["searcher"] == searcher and row["trials"] is not None]
        cells = [_interval(mean, 1 if summary["scaled"] else 100)]
        cells.append(f"{ranking['mean_ranks'][i]:.2f}" if ranking else "-")
        cells += [
            "" if name == searcher else _percent(summary["improvement"][i][names.index(name)]) for name in against
        ]
        cells.append(FILTERS["count"](sum(row["trials"] for row in own) / len(own)))
        cells.append(FILTERS["duration"](sum(row["overhead_per_trial"] for row in own) / len(own)))
        body.append([searcher, *cells])
    unit = "1: the median architecture's regret" if summary["scaled"] else "points"
    heads = ["searcher", f"interquartile mean ({unit})", "mean rank", *(f"ends below {name} (%)" for name in against)]
    lead = (
        f"Over {len(summary['tasks'])} task{'s' if len(summary['tasks']) > 1 else ''}. Trainings of a run count those "
        "that stopped early; the own cost of a trial is the searcher's, measured where the runs were made.\n\n"
    )
    return lead + _table([*heads, "trainings of a run", "own cost of a trial"], body)


def _ranks(found: Mapping[str, Any]) -> str:
    columns = found["ranks_at"]
    body = []
    for searcher in _ordered(found):
        i = found["searchers"].index(searcher)
        cells = [f"**{ranks[i]:.2f}**" if ranks[i] == min(ranks) else f"{ranks[i]:.2f}" for ranks in columns.values()]
        body.append([searcher, *cells])
    return _table(["after full trainings", *(f"{int(number):,}" for number in columns)], body)


def _rivals(entry: Mapping[str, Any], alpha: float) -> str:
    """One row a task: the rival with the lowest interquartile mean, and how many end better, open, worse."""
    name, body = entry["searcher"], []
    for task in entry["tasks"]:
        lead = task["rivals"][0] if task["rivals"] else None
        sides = [verdict_on_task(rival, alpha) for rival in task["rivals"]]
        cells = [
            task["task"].partition("/")[2] or task["task"],
            f"{task['place']} of {task['searchers']}",
            _interval(task["mean"], 100),
            *(_rival(lead) if lead else ["-"] * 4),
            " / ".join(str(sides.count(side)) for side in ("better", "open", "worse")),
        ]
        body.append(cells)
    lead = "Interquartile means of the final test loss in points; every rival's numbers are in `summary.json`.\n\n"
    heads = ["task", "place", name, "lowest rival", "its mean", f"ends below {name} (%)", "p (Holm)"]
    return lead + _table([*heads, "rivals that end better / not told apart / worse"], body)


def _rival(rival: Mapping[str, Any]) -> list[str]:
    numbers = [_points(rival["mean"]), _percent(rival["probability"]), FILTERS["p_value"](rival["p_value"])]
    return [rival["searcher"], *numbers]


def _provenance(found: Mapping[str, Any]) -> str:
    lines = []
    for folder in found["provenance"]["folders"]:
        packages = ", ".join(f"{name} {version}" for name, version in folder["packages"].items())
        lines.append(f"- `{folder['command'] or folder['path']}`, {folder['created'] or 'undated'}: {packages}")
        for task, table in folder["tables"].items():
            checksum = ", ".join(f"{key} {str(value)[:12]}" for key, value in table.items())
            lines.append(f"  - {task}: {checksum}")
    return "\n".join([*lines, ""])


def _ordered(found: Mapping[str, Any]) -> list[str]:
    """Searchers by interquartile mean, else as they are."""
    names = found["searchers"]
    if not found["summary"]:
        return list(names)
    means = [mean["value"] for mean in found["summary"]["interquartile_means"]]
    return sorted(names, key=lambda name: (means[names.index(name)] is None, means[names.index(name)]))


def _table(heads: Sequence[str], body: Sequence[Sequence[str]]) -> str:
    lines = [heads, ["---", *["---:"] * (len(heads) - 1)], *body]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines) + "\n"


def _image(name: str, text: str, figures: Sequence[str]) -> str:
    return f"![{text}]({name})\n" if name in figures else ""


def _points(value: float | None) -> str:
    return FILTERS["points"](value)


def _interval(mean: Mapping[str, Any], factor: int) -> str:
    def write(value: float | None) -> str:
        return _points(value) if factor == 100 else FILTERS["significant"](value)

    return write(mean["value"]) + (
        "" if mean["lower"] is None else f" [{write(mean['lower'])}, {write(mean['upper'])}]"
    )


def _percent(cell: Mapping[str, Any]) -> str:
    spread = "" if cell["lower"] is None else f" [{100 * cell['lower']:.0f}, {100 * cell['upper']:.0f}]"
    return f"{100 * cell['value']:.0f}{spread}"
