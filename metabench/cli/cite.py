"""``metabench cite``: what to cite for the parts of a study."""

from __future__ import annotations

import inspect
import re
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from metabench.cli.output import print_json
from metabench.cli.parse import optional
from metabench.errors import ArgumentError, UnknownNameError
from metabench.registry import did_you_mean

__all__ = ["Options", "find_citation", "run"]


@dataclass(frozen=True)
class Options:
    """Print what to cite for spaces, tasks, blocks, searchers, agents and optimizers; a SPACE/TASK stands for both."""

    names: Annotated[tyro.conf.Positional[tuple[str, ...]], optional("NAME...")] = ()
    """Names, as metabench list shows them."""
    json: bool = False
    """Print one JSON document."""


def run(options: Options) -> None:
    """Prints each citation once, with the names it stands for."""
    if not options.names:
        raise ArgumentError("name what you used: a space, task, block, searcher or agent. See 'metabench list'.")
    entries = [entry for name in options.names for entry in _entries(name)]
    if options.json:
        print_json({"citations": entries})
        return
    grouped: dict[str, list[str]] = {}
    for entry in entries:
        label = f"{entry['kind']} {entry['name']}"
        labels = grouped.setdefault(entry["citation"], [])
        if label not in labels:
            labels.append(label)
    blocks = [f"% {', '.join(labels)}\n{citation or '(no citation recorded)'}" for citation, labels in grouped.items()]
    print("\n\n".join(blocks))


def _entries(name: str) -> list[dict[str, str]]:
    """The citations of a name.

    Raises:
        UnknownNameError: if nothing is called so.
    """
    from metabench import content
    from metabench.blocks import BLOCKS
    from metabench.metarl import AGENTS
    from metabench.searchers import SEARCHERS

    spaces, tasks = content.identifiers("search_spaces"), content.identifiers("tasks")
    space, slash, task = name.partition("/")
    if slash and space in spaces and task in tasks:
        return _entries(space) + _entries(task)
    if name in spaces:
        from metabench.spaces import load_space

        return [_entry("space", name, load_space(name).citation)]
    if name in content.identifiers("tasks", of="environment"):
        from metabench.envs import load_environment

        return [_entry("environment", name, load_environment(name).citation)]
    if name in content.identifiers("tasks", of="few-shot"):
        from metabench.problems.few_shot import load_few_shot

        return [_entry("few-shot task", name, load_few_shot(name).citation)]
    if name in tasks:
        from metabench.datasets import load_task

        return [_entry("task", name, load_task(name).citation)]
    for kind, registry in (("block", BLOCKS), ("searcher", SEARCHERS), ("agent", AGENTS)):
        if name in registry:
            return [_entry(kind, name, find_citation(registry.get(name)))]
    from metabench.learned.optimizers import RULES, load_weights, shipped

    if name in shipped():
        return [_entry("optimizer", name, load_weights(name)[0].citation)]
    if name in RULES:
        return [_entry("optimizer", name, RULES.get(name).citation)]
    known = (*spaces, *tasks, *BLOCKS.names(), *SEARCHERS.names(), *AGENTS.names(), *shipped(), *RULES.names())
    raise UnknownNameError(
        f"unknown name {name!r}.{did_you_mean(name, known)} Expected a space, task, block, searcher, agent or "
        "optimizer; see 'metabench list'."
    )


def _entry(kind: str, name: str, citation: str) -> dict[str, str]:
    return {"kind": kind, "name": name, "citation": citation.strip()}


def find_citation(component: Any) -> str:
    """The component's ``citation``, else the References of its docstring."""
    citation = getattr(component, "citation", "")
    if isinstance(citation, str) and citation.strip():
        return citation
    text = inspect.getdoc(component) or ""
    found = re.search(r"^References?:\s*\n((?:[ \t]+.*\n?|\n)+)", text, flags=re.MULTILINE)
    return inspect.cleandoc(found[1]) if found else ""
