"""Conformance kits: what a component has to do to take part, checked by one call each.

A plug-in's own test suite calls the kit of its kind. Each raises :class:`metabench.errors.ConformanceError` at the
first property that does not hold, naming the component and the property, and returns None otherwise. A kit loads torch
when it is first asked for.

Example:
    >>> from metabench.testing import check_fixed_point_solver
    >>> from metabench.layers import Anderson
    >>> check_fixed_point_solver(Anderson())
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from metabench.testing.adjoint import check_adjoint
    from metabench.testing.block import check_block
    from metabench.testing.convex_set import check_convex_set
    from metabench.testing.environment import check_environment
    from metabench.testing.fixed_point import check_fixed_point_solver
    from metabench.testing.ode import check_ode_solver

__all__ = [
    "check_adjoint",
    "check_block",
    "check_convex_set",
    "check_environment",
    "check_fixed_point_solver",
    "check_ode_solver",
]

_LAZY = {
    "check_adjoint": "adjoint",
    "check_block": "block",
    "check_convex_set": "convex_set",
    "check_environment": "environment",
    "check_fixed_point_solver": "fixed_point",
    "check_ode_solver": "ode",
}


def __getattr__(name: str) -> Any:
    """Imports a kit when it is first asked for."""
    if name not in _LAZY:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_LAZY[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(set(globals()) | set(__all__))
