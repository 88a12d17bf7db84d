"""Section of a report: which folders, versions and tables it rests on, and the surrogates' cards."""

from __future__ import annotations

import json
import platform
from collections.abc import Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from metabench import content
from metabench.analysis.comparison import Comparison
from metabench.analysis.runs import RunFolder

__all__ = ["provenance_section", "surrogate_cards"]

_PACKAGES = ("metabench", "numpy", "scipy")


def provenance_section(comparison: Comparison) -> dict[str, Any]:
    """Where every number comes from."""
    return {
        "folders": [_folder(folder) for folder in comparison.folders],
        "made_with": {"python": platform.python_version(), **{name: _version(name) for name in _PACKAGES}},
    }


def _folder(folder: RunFolder) -> dict[str, Any]:
    plan, made = folder.plan, folder.provenance
    return {
        "path": folder.path.name or str(folder.path),  # not the whole path: a shared page need not tell it
        "command": made.get("command"),
        "created": made.get("created"),
        "python": made.get("python"),
        "platform": made.get("platform"),
        "packages": made.get("packages") or {"metabench": plan.get("version", "unknown")},
        "kind": plan["kind"],
        "searchers": plan["searchers"],
        "trials": plan["trials"],
        "seeds": list(range(plan["seeds"])),
        "settings": plan.get("settings") or {},
        "tables": {benchmark["id"]: benchmark.get("table", {}) for benchmark in plan["benchmarks"]},
        "replicates": {benchmark["id"]: benchmark.get("replicates", []) for benchmark in plan["benchmarks"]},
    }


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return "unknown"


def surrogate_cards(spaces: Sequence[str]) -> list[dict[str, Any]]:
    """``surrogates/<space>/card.json`` of each space that has one: the working folder's, else the shipped one."""
    cards = []
    for space in spaces:
        for place in (Path.cwd() / "surrogates", content.folder("surrogates")):
            try:
                card = json.loads((place / space / "card.json").read_text(encoding="utf-8"))
            except (OSError, ValueError):
                continue
            if isinstance(card, dict):
                cards.append({"space": space, "card": card})
                break
    return cards
