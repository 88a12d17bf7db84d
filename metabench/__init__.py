"""metabench measures how implicit layers do as searchable parts of networks and agents.

Everything here loads on first use (PEP 562): importing metabench imports neither torch nor numpy.

Example:
    >>> import metabench
    >>> bench = metabench.open("cells2-v1/mnist1d-v1")
    >>> bench.query("mlp.deq,gated.ode").test_score  # doctest: +SKIP
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metabench import errors, learned
    from metabench.analysis.report import build_report as report
    from metabench.datasets import load_task
    from metabench.envs import make_environment
    from metabench.metarl.explore import explore
    from metabench.searchers import run_search as search
    from metabench.spaces import load_space
    from metabench.tables import build_table as build
    from metabench.tables import export_table as export
    from metabench.tables import fit_table as fit
    from metabench.tables import open_benchmark as open
    from metabench.tables import pack_table as pack
    from metabench.tables import verify_table as verify
    from metabench.tables.result import Result

__all__ = [
    "Result",
    "__version__",
    "build",
    "errors",
    "explore",
    "export",
    "fit",
    "learned",
    "load_space",
    "load_task",
    "make_environment",
    "open",
    "pack",
    "report",
    "search",
    "verify",
]

__version__ = "0.1.0"

_LAZY = {
    "Result": "metabench.tables.result:Result",
    "build": "metabench.tables:build_table",
    "errors": "metabench.errors",
    "explore": "metabench.metarl.explore:explore",
    "export": "metabench.tables:export_table",
    "fit": "metabench.tables:fit_table",
    "learned": "metabench.learned",
    "load_space": "metabench.spaces:load_space",
    "load_task": "metabench.datasets:load_task",
    "make_environment": "metabench.envs:make_environment",
    "open": "metabench.tables:open_benchmark",
    "pack": "metabench.tables:pack_table",
    "report": "metabench.analysis.report:build_report",
    "search": "metabench.searchers:run_search",
    "verify": "metabench.tables:verify_table",
}


def __getattr__(name: str) -> Any:
    """Imports a public name when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, attribute = _LAZY[name].partition(":")
    value = importlib.import_module(module)
    if attribute:
        value = getattr(value, attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
