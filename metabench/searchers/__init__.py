"""Searchers behind ``ask`` and ``tell``, the loop that runs them, and runs of many of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from metabench.registry import Registry

if TYPE_CHECKING:
    from metabench.searchers.report import Incumbent, LeaderboardRow, SearchReport
    from metabench.searchers.run import run_search
    from metabench.searchers.searcher import Searcher, Trial

__all__ = ["SEARCHERS", "Incumbent", "LeaderboardRow", "SearchReport", "Searcher", "Trial", "run_search"]

SEARCHERS = Registry(
    "searcher",
    {
        "random": "metabench.searchers.random_search:RandomSearch",
        "regularized-evolution": "metabench.searchers.regularized_evolution:RegularizedEvolution",
        "smac": "metabench.searchers.smac_search:SmacSearch",
    },
    "metabench.searchers",
)

_HOMES = {
    "Incumbent": "report",
    "LeaderboardRow": "report",
    "SearchReport": "report",
    "Searcher": "searcher",
    "Trial": "searcher",
    "run_search": "run",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"metabench.searchers.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
