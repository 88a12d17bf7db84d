"""A small lazy registry: a dict from name to ``"module:attribute"``, plus an entry-point group for plug-ins."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Iterable, Mapping
from importlib.metadata import entry_points
from typing import Any

from metabench.errors import UnknownNameError

__all__ = ["Registry", "did_you_mean"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Returns ``" Did you mean 'x'?"`` for the nearest known name, or an empty string."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.5)
    return f" Did you mean {near[0]!r}?" if near else ""


class Registry:
    """Names of one kind of component; a component's module is imported only when it is asked for.

    Args:
        kind: what the names are, in the singular (``"block"``); used in messages.
        entries: name -> ``"package.module:attribute"``.
        group: entry-point group (``"metabench.blocks"``) whose entries are added to the built-in ones.
    """

    def __init__(self, kind: str, entries: Mapping[str, str], group: str) -> None:
        self.kind = kind
        self.group = group
        self._entries: dict[str, str] = dict(entries)
        self._objects: dict[str, Any] = {}
        self._plugins_read = False

    def _read_plugins(self) -> None:
        if not self._plugins_read:
            self._plugins_read = True
            for point in entry_points(group=self.group):
                self._entries.setdefault(point.name, point.value)

    def names(self) -> tuple[str, ...]:
        """All registered names: built-in ones first, in their order, then plug-ins."""
        self._read_plugins()
        return tuple(self._entries)

    def __contains__(self, name: object) -> bool:
        return name in self.names()

    def check(self, name: str) -> str:
        """Returns ``name`` if it is registered.

        Raises:
            UnknownNameError: with the nearest registered name.
        """
        if name not in self._entries and name not in self.names():
            known = ", ".join(self._entries)
            raise UnknownNameError(f"unknown {self.kind} {name!r}.{did_you_mean(name, self._entries)} Known: {known}.")
        return name

    def get(self, name: str) -> Any:
        """Imports and returns the component called ``name``."""
        if name not in self._objects:
            module, _, attribute = self._entries[self.check(name)].partition(":")
            self._objects[name] = getattr(importlib.import_module(module), attribute)
        return self._objects[name]

    def add(self, name: str, target: Any) -> None:
        """Registers ``target`` (an object, or a ``"module:attribute"`` string) for this process.

        Raises:
            UnknownNameError: if the name is taken.
        """
        if name in self.names():
            raise UnknownNameError(f"{self.kind} {name!r} is registered already; choose another name.")
        self._entries[name] = target if isinstance(target, str) else f"{target.__module__}:{target.__qualname__}"
        if not isinstance(target, str):
            self._objects[name] = target
