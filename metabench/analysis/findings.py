"""In words: what a report found, from its document; nothing is claimed that no interval or test supports."""

from __future__ import annotations

from typing import Any

from metabench.analysis.rounding import rounded

__all__ = ["findings", "outcome_of_tests"]


def findings(document: dict[str, Any]) -> list[str]:
    """One to three sentences."""
    lines = []
    if document["ranking"]:
        lines.append(_on_ranks(document))
    if document["summary"]:
        lines.append(_on_means(document))
    lines += _on_tasks(document)
    return lines


def _on_ranks(document: dict[str, Any]) -> str:
    ranking, names = document["ranking"], document["searchers"]
    best = min(range(len(names)), key=lambda i: ranking["mean_ranks"][i])
    line = f"{names[best]} has the best mean rank, {ranking['mean_ranks'][best]:.2f} of {len(names)}"
    if ranking["p_values"] is None:
        return f"{line}, on a single block of task and seed: no test can be made."
    if not ranking["friedman_rejects"]:
        return f"{line}, but Friedman's test does not find that the searchers differ (p = {_p(document)})."
    others = [i for i in range(len(names)) if i != best]
    beaten = [names[i] for i in others if ranking["p_values"][best][i] < ranking["alpha"]]
    if len(beaten) == len(others):
        return f"{line}, and differs from {'every other searcher' if len(others) > 1 else beaten[0]} (Wilcoxon-Holm)."
    equal = [names[i] for i in others if names[i] not in beaten]
    if not beaten:
        return f"{line}; it cannot be told apart from {_and(equal)} (Wilcoxon-Holm)."
    if len(equal) < len(beaten):
        return f"{line}, and differs from every other searcher except {_and(equal)} (Wilcoxon-Holm)."
    return f"{line}. It differs from {_and(beaten)}, and cannot be told apart from {_and(equal)} (Wilcoxon-Holm)."


def _p(document: dict[str, Any]) -> str:
    return f"{document['ranking']['friedman']['p_value']:.2g}"


def _on_means(document: dict[str, Any]) -> str:
    summary, names = document["summary"], document["searchers"]
    means = summary["interquartile_means"]
    known = [i for i in range(len(names)) if means[i]["value"] is not None]
    if not known:
        return "No interquartile mean is finite: too many runs have no incumbent."
    best = min(known, key=lambda i: means[i]["value"])
    found, unit = means[best], 1 if summary["scaled"] else 100
    spread = "" if found["lower"] is None else f" [{_short(unit * found['lower'])}, {_short(unit * found['upper'])}]"
    what = "times the median architecture's" if summary["scaled"] else "points"
    lead = (
        "has the lowest interquartile mean of final test"
        if len(names) > 1
        else "has an interquartile mean of final test"
    )
    return f"{names[best]} {lead} {summary['measure']}: {_short(unit * found['value'])}{spread} {what}."


def _on_tasks(document: dict[str, Any]) -> list[str]:
    """Which searcher has the best median on which task, where there are several of both."""
    if len(document["tasks"]) < 2 or len(document["searchers"]) < 2:
        return []
    winners: dict[tuple[str, ...], list[str]] = {}
    for task in document["tasks"]:
        rows = [row for row in document["leaderboard"] if row["task"] == task["label"]]
        known = [row for row in rows if row["test"]["median"] is not None]
        if known:
            lowest = min(row["test"]["median"] for row in known)
            best = tuple(row["searcher"] for row in known if row["test"]["median"] == lowest)
            winners.setdefault(best, []).append(task["label"])
    counts = sorted(winners.items(), key=lambda item: -len(item[1]))
    whole = len(document["tasks"])
    spelled = [
        f"{_and(list(best)) if len(best) < 3 else f'{len(best)} searchers alike'} on "
        f"{'every task' if len(tasks) == whole else _and(tasks)}"
        for best, tasks in counts
    ]
    return [f"Best median: {'; '.join(spelled)}."]


def outcome_of_tests(document: dict[str, Any]) -> str:
    """What was tested and what came out."""
    ranking = document["ranking"]
    if ranking["p_values"] is None:
        return "One block allows no test."
    parts = []
    if ranking["friedman"]:
        parts.append(
            f"Friedman's test over {ranking['blocks']} blocks: chi-squared {ranking['friedman']['statistic']:.4g}, "
            f"p = {ranking['friedman']['p_value']:.2g}."
        )
        if not ranking["friedman_rejects"]:
            parts.append("It does not reject, so no pair is said to differ.")
    else:
        parts.append("Two searchers: Wilcoxon's signed-rank test alone.")
    if ranking["smallest_p"] >= ranking["alpha"]:
        parts.append(
            f"With {ranking['blocks']} blocks no pair can reach p < {ranking['alpha']}: run more seeds or tasks."
        )
    if ranking["friedman_over_tasks"]:
        parts.append(
            f"Over the {len(ranking['tasks'])} tasks alone (medians over seeds): p = "
            f"{ranking['friedman_over_tasks']['p_value']:.2g}."
        )
    return " ".join(parts)


def _short(value: float) -> str:
    return f"{rounded(value, 3):g}"


def _and(names: list[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
