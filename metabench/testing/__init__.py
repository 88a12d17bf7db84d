"""Conformance kits: what a component has to do to take part, checked by one call each."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metabench.testing.environment import check_environment

__all__ = ["check_environment"]

_LAZY = {"check_environment": "environment"}


def __getattr__(name: str) -> Any:
    """Imports a kit when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
