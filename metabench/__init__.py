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
    from metabench import errors
    from metabench.datasets import load_task
    from metabench.searchers import run_search as search
    from metabench.spaces import load_space
    from metabench.tables import build_table as build
    from metabench.tables import fit_table as fit
    from metabench.tables import open_benchmark as open
    from metabench.tables import pack_table as pack
    from metabench.tables.result import Result

__all__ = [
    "Result",
    "__version__",
    "build",
    "errors",
    "fit",
    "load_space",
    "load_task",
    "open",
    "pack",
    "search",
]

__version__ = "0.1.0"

_LAZY = {
    "Result": "metabench.tables.result:Result",
    "build": "metabench.tables:build_table",
    "errors": "metabench.errors",
    "fit": "metabench.tables:fit_table",
    "load_space": "metabench.spaces:load_space",
    "load_task": "metabench.datasets:load_task",
    "open": "metabench.tables:open_benchmark",
    "pack": "metabench.tables:pack_table",
    "search": "metabench.searchers:run_search",
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
