"""What a study claims, in sentences that are made from its numbers, each with its interval or test.

Over all tasks one searcher *ends better* than another where the bootstrap interval of the probability that its run has
the lower test loss is above one half, and Wilcoxon-Holm over blocks of task and seed says that the two differ. On one
task the interval is that of its runs alone, and the test the exact rank-sum test, by Holm's method over the rivals.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from metabench.analysis.findings import findings, outcome_of_tests
from metabench.analysis.rounding import rounded
from metabench.analysis.significance import ALPHA

__all__ = ["BASELINE", "BUDGETS", "claims", "ranks_at", "verdict", "verdict_on_task"]

BASELINE = "random"
BUDGETS = (10, 25, 50, 100, 200, 500, 1000)

Verdict = Literal["better", "worse", "open"]


def verdict(document: Mapping[str, Any], first: str, second: str) -> Verdict:
    """Whether ``first`` ends better than ``second`` over all tasks, worse, or neither can be said."""
    names, ranking = document["searchers"], document["ranking"]
    i, j = names.index(first), names.index(second)
    if not ranking or ranking["p_values"] is None or not ranking["friedman_rejects"] or not document["summary"]:
        return "open"
    return _side(document["summary"]["improvement"][i][j], ranking["p_values"][i][j], ranking["alpha"])


def verdict_on_task(rival: Mapping[str, Any], alpha: float) -> Verdict:
    """Whether a rival (of :func:`metabench.analysis.rivals.rivals_section`) ends better on its task."""
    return _side(rival["probability"], rival["p_value"], alpha)


def _side(probability: Mapping[str, Any], p_value: float, alpha: float) -> Verdict:
    if probability["lower"] is None or p_value >= alpha:
        return "open"
    if probability["lower"] > 0.5:
        return "better"
    return "worse" if probability["upper"] < 0.5 else "open"


def ranks_at(document: Mapping[str, Any]) -> dict[int, list[float]]:
    """Mean ranks of the searchers after some round numbers of full trainings, and at the budget."""
    if not document["ranking"]:
        return {}
    over, budget = document["ranking"]["over_evaluations"], document["budget"]
    wanted = [*(number for number in BUDGETS if number < budget), budget]
    places = {number: sum(x <= number for x in over["x"]) - 1 for number in wanted}
    return {number: [ranks[place] for ranks in over["mean_ranks"]] for number, place in places.items() if place >= 0}


def claims(document: dict[str, Any], rivals: Sequence[Mapping[str, Any]]) -> list[dict[str, str]]:
    """Sentences by topic: all searchers, against random search, over the search, each searcher looked at closely.

    Args:
        document: of :func:`metabench.analysis.report.build_report`.
        rivals: of :func:`metabench.analysis.rivals.rivals_section`.
    """
    found = [{"topic": "all searchers", "text": text} for text in findings(document)]
    names = document["searchers"]
    if document["ranking"] and len(names) > 1:
        found.append({"topic": "tests", "text": outcome_of_tests(document)})
        if BASELINE in names and document["summary"]:
            found.append({"topic": f"against {BASELINE}", "text": _against(document, BASELINE)})
        found.append({"topic": "over the search", "text": _over_the_search(document)})
    for entry in rivals:
        if document["ranking"] and document["summary"]:
            found.append({"topic": entry["searcher"], "text": _overall(document, entry["searcher"])})
        found += [{"topic": entry["searcher"], "text": text} for text in _on_tasks(document, entry)]
    return found


def _against(document: Mapping[str, Any], searcher: str) -> str:
    """Who ends better and worse than a searcher over all tasks, likeliest first, with the probabilities."""
    names, table = document["searchers"], document["summary"]["improvement"]
    column = names.index(searcher)
    cells = {name: table[row][column] for row, name in enumerate(names) if name != searcher}
    ordered = sorted(cells, key=lambda name: -cells[name]["value"])
    groups: dict[Verdict, list[str]] = {"better": [], "open": [], "worse": []}
    for name in ordered:
        groups[verdict(document, name, searcher)].append(f"{name} {_percent(cells[name])}")
    leads = {"better": f"End better than {searcher}", "open": "not told apart from it", "worse": "end worse"}
    parts = [f"{leads[side]}: {', '.join(found)}" for side, found in groups.items() if found]
    if not groups["better"]:
        parts.insert(0, f"Nothing ends better than {searcher}")
    return f"{'; '.join(parts)} (probability that a run ends lower, and its 95 % interval)."


def _over_the_search(document: Mapping[str, Any]) -> str:
    names, parts = document["searchers"], []
    for number, ranks in ranks_at(document).items():
        best = min(ranks)
        winners = [name for name, found in zip(names, ranks, strict=True) if found == best]
        who = " and ".join(winners) if len(winners) < 3 else f"{len(winners)} searchers alike"
        parts.append(f"{who} ({best:.2f}) after {number:,}")
    return f"Best mean rank by full trainings spent: {', '.join(parts)}."


def _overall(document: Mapping[str, Any], searcher: str) -> str:
    """Plainly: is it the best, by ranks and by interquartile mean, and who ends better."""
    names, ranks = document["searchers"], document["ranking"]["mean_ranks"]
    i, count = names.index(searcher), len(names)
    means = [_known(mean["value"]) for mean in document["summary"]["interquartile_means"]]
    by_rank, by_mean = (1 + sum(value < found[i] for value in found) for found in (ranks, means))
    best = by_rank == by_mean == 1
    where = f"place {by_rank} of {count} by mean rank ({ranks[i]:.2f}), place {by_mean} by interquartile mean"
    lead = f"{searcher} is {'the best' if best else 'not the best'} overall: {where}."
    return f"{lead} {_against(document, searcher)}"


def _on_tasks(document: Mapping[str, Any], entry: Mapping[str, Any]) -> list[str]:
    """On which tasks it is the best, beaten, or neither, in one sentence; then each task where it is not the best."""
    searcher, alpha = entry["searcher"], document["ranking"]["alpha"] if document["ranking"] else ALPHA
    lines = [_where(entry, alpha)]
    for found in entry["tasks"]:
        if found["place"] == 1:
            continue
        lead = found["rivals"][0]
        by_side: dict[Verdict, list[str]] = {"better": [], "open": [], "worse": []}
        for rival in found["rivals"]:
            text = f"{rival['searcher']} {_percent(rival['probability'])}"
            by_side[verdict_on_task(rival, alpha)].append(text)
        line = (
            f"On {found['task']} {searcher} is not the best: place {found['place']} of {found['searchers']}, "
            f"{_points(found['mean']['value'])} points against {_points(lead['mean'])} of {lead['searcher']}"
        )
        if by_side["better"]:
            lines.append(f"{line}. End better: {', '.join(by_side['better'])}.")
        else:
            lines.append(f"{line}; no rival can be said to end better.")
    return lines


def _where(entry: Mapping[str, Any], alpha: float) -> str:
    searcher, tasks = entry["searcher"], entry["tasks"]
    best = [_shared(found) for found in tasks if found["place"] == 1]
    rest = [found for found in tasks if found["place"] > 1]
    beaten = [found for found in rest if any(verdict_on_task(rival, alpha) == "better" for rival in found["rivals"])]
    parts = []
    if best:
        parts.append(f"no searcher has a lower interquartile mean than {searcher} on {_and(best)}")
    if beaten:
        parts.append(f"others end better than {searcher} on {_and([found['task'] for found in beaten])}")
    if open_ := [found["task"] for found in rest if found not in beaten]:
        parts.append(
            f"on {_and(open_)} {searcher} is not the lowest, but of no rival it can be said that it ends better"
        )
    return f"Task by task: {'; '.join(parts)}."


def _names(some: Sequence[Mapping[str, Any]], tasks: Sequence[Mapping[str, Any]]) -> str:
    return "every task" if len(some) == len(tasks) > 1 else _and([found["task"] for found in some])


def _shared(found: Mapping[str, Any]) -> str:
    """A task, and how many rivals reach the same mean."""
    equal = sum(rival["mean"] == found["mean"]["value"] for rival in found["rivals"])
    return (
        f"{found['task']} ({equal} {'other has' if equal == 1 else 'others have'} the same)" if equal else found["task"]
    )


def _percent(cell: Mapping[str, Any]) -> str:
    spread = "" if cell["lower"] is None else f" [{100 * cell['lower']:.0f}, {100 * cell['upper']:.0f}]"
    return f"{100 * cell['value']:.0f} %{spread}"


def _points(value: float | None) -> str:
    return "no finite" if value is None else f"{rounded(100 * value, 3):g}"


def _known(value: float | None) -> float:
    return float("inf") if value is None else value


def _and(names: Sequence[str]) -> str:
    return names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
