"""Conformance kits: what a component has to do to take part, checked by one call each.

A plug-in's own test suite calls the kit of its kind. Each raises :class:`metabench.errors.ConformanceError` at the
first property that does not hold, naming the component and the property, and returns None otherwise.

Example:
    >>> from metabench.testing import check_searcher
    >>> from metabench.searchers.random_search import RandomSearch
    >>> check_searcher(RandomSearch)
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metabench.testing.searcher import check_searcher

__all__ = ["check_searcher"]

_LAZY = {"check_searcher": "searcher"}


def __getattr__(name: str) -> Any:
    """Imports a kit when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
