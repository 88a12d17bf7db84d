"""Section of a report: which folders, versions and tables it rests on."""

from __future__ import annotations

import platform
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from metabench.analysis.comparison import Comparison
from metabench.analysis.runs import RunFolder

__all__ = ["provenance_section"]

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
