"""Section of a report: how reliable the tables are, and how good their surrogates, from the cards that are shipped."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from metabench import content
from metabench.analysis.surrogate_card import held_out_figures

__all__ = ["card_section"]

_RELIABILITY = ("architecture_sd", "seed_sd", "icc", "icc_low", "icc_high", "consistency")


def card_section(spaces: Sequence[str]) -> list[dict[str, Any]]:
    """What ``surrogates/<space>/card.json`` says, of each space that has one: the working folder's, else the shipped.

    Returns:
        For each space ``space``, ``reliability`` (a row a task) and ``surrogates`` (a row a task and model), as plain
        JSON; scores are fractions. A card that lacks parts has fewer rows.
    """
    sections = []
    for space in spaces:
        for place in (Path.cwd() / "surrogates", content.folder("surrogates")):
            try:
                card = json.loads((place / space / "card.json").read_text(encoding="utf-8"))
                tasks = {str(task): entry for task, entry in card["tasks"].items() if isinstance(entry, dict)}
            except (OSError, ValueError, TypeError, KeyError, AttributeError):
                continue
            rows = {
                "reliability": [row for task, entry in tasks.items() if (row := _reliability(task, entry))],
                "surrogates": [row for task, entry in tasks.items() for row in _surrogates(task, entry)],
            }
            if any(rows.values()):
                sections.append({"space": space, **rows})
            break
    return sections


def _reliability(task: str, entry: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        found, score = entry["reliability"], entry["test_score"]
        return {
            "task": task,
            "measured": entry["share"],
            "seeds": entry["seeds"],
            "score": {"lower": score["min"], "median": score["median"], "upper": score["max"]},
            **{name: found[name] for name in _RELIABILITY},
            "seed_tau": entry["seed_kendall_tau"],
        }
    except (KeyError, TypeError):
        return None


def _surrogates(task: str, entry: Mapping[str, Any]) -> list[dict[str, Any]]:
    models = entry.get("surrogate")
    found = [_surrogate(task, model, one) for model, one in models.items()] if isinstance(models, dict) else []
    return [row for row in found if row is not None]


def _surrogate(task: str, model: str, found: Mapping[str, Any]) -> dict[str, Any] | None:
    try:
        test, deepest = held_out_figures(found)
        one_seed = (found["one_seed"] or {}).get("mean_absolute_error") or {}
        return {
            "task": task,
            "model": model,
            "r2": test["r2"],
            "r2_of_deepest": deepest["r2"],
            "r2_ceiling": deepest["r2_ceiling"],
            "tau": test["sparse_kendall_tau"],
            "tau_of_deepest": deepest["sparse_kendall_tau"],
            "tau_ceiling": deepest["kendall_tau_ceiling"],
            "coverage": list(test["calibration"]["replicate"]["coverage"].values()),
            "one_seed_surrogate": one_seed.get("surrogate_seen"),
            "one_seed_table": one_seed.get("table"),
        }
    except (KeyError, TypeError, ValueError):
        return None
