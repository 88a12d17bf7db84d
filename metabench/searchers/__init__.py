"""Searchers behind ``ask`` and ``tell``, the loop that runs them, and runs of many of them."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from metabench.registry import Registry

if TYPE_CHECKING:
    from metabench.searchers.journal import Journaled, replay
    from metabench.searchers.report import Incumbent, LeaderboardRow, SearchReport
    from metabench.searchers.run import run_search
    from metabench.searchers.searcher import Searcher, Trial, score
    from metabench.searchers.settings import Settings

__all__ = [
    "SEARCHERS",
    "Incumbent",
    "Journaled",
    "LeaderboardRow",
    "SearchReport",
    "Searcher",
    "Settings",
    "Trial",
    "replay",
    "run_search",
    "score",
]

SEARCHERS = Registry(
    "searcher",
    {
        "random": "metabench.searchers.random_search:RandomSearch",
        "regularized-evolution": "metabench.searchers.regularized_evolution:RegularizedEvolution",
        "local-search": "metabench.searchers.local_search:LocalSearch",
        "successive-halving": "metabench.searchers.successive_halving:SuccessiveHalving",
        "hyperband": "metabench.searchers.hyperband:Hyperband",
        "asha": "metabench.searchers.asha:ASHA",
        "bananas": "metabench.searchers.bananas:Bananas",
        "greedy-portfolio": "metabench.searchers.greedy_portfolio:GreedyPortfolio",
        "smac": "metabench.searchers.smac_search:SmacSearch",
        "smac-multi-fidelity": "metabench.searchers.smac_multi_fidelity:SmacMultiFidelity",
        "tpe": "metabench.searchers.tpe:TPE",
    },
    "metabench.searchers",
)

_HOMES = {
    "Incumbent": "report",
    "Journaled": "journal",
    "LeaderboardRow": "report",
    "SearchReport": "report",
    "Searcher": "searcher",
    "Settings": "settings",
    "Trial": "searcher",
    "replay": "journal",
    "run_search": "run",
    "score": "searcher",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        return getattr(importlib.import_module(f"metabench.searchers.{_HOMES[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
