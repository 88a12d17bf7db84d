"""``metabench list``: what there is to query, search and build."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any

import tyro

from metabench.cli.cite import find_citation
from metabench.cli.output import Column, print_json, print_table
from metabench.cli.parse import optional
from metabench.errors import UnknownNameError
from metabench.registry import did_you_mean

__all__ = ["KINDS", "Options", "run"]


@dataclass(frozen=True)
class Options:
    """Show the spaces, tasks, blocks, searchers, agents and optimizers there are."""

    kind: Annotated[tyro.conf.Positional[str], optional("[spaces|tasks|blocks|searchers|agents|optimizers]")] = "all"
    """One kind, with a line about each entry; an overview if left out."""
    json: bool = False
    """Print one JSON document."""


def run(options: Options) -> None:
    """Prints one kind of thing, or an overview of all."""
    if options.kind != "all" and options.kind not in KINDS:
        meant = did_you_mean(options.kind, KINDS)
        raise UnknownNameError(f"unknown kind {options.kind!r}.{meant} Known: {', '.join(KINDS)}.")
    kinds = list(KINDS) if options.kind == "all" else [options.kind]
    detail = options.kind != "all"
    found = {kind: KINDS[kind](detail) for kind in kinds}
    if options.json:
        print_json(found)
        return
    for number, (kind, entries) in enumerate(found.items()):
        if number:
            print()
        if kind in ("blocks", "searchers", "agents", "optimizers") and not detail:
            print(f"{kind}\n\n{_paragraph([entry['name'] for entry in entries])}")
        else:
            _print_entries(kind, entries)
    if detail:
        print("\nWhat to cite: metabench cite NAME.")
    else:
        print("\nMore on one kind: metabench list blocks. What to cite: metabench cite NAME.")


def _spaces(detail: bool) -> list[dict[str, Any]]:
    from metabench import content
    from metabench.spaces import JointSpace, load_space

    entries = []
    for identifier in content.identifiers("search_spaces"):
        space = load_space(identifier)
        entries.append(
            {
                "name": space.id,
                "stages": space.stages,
                "blocks": len(space.blocks),
                "configurations": space.size,
                "architectures": space.count if isinstance(space, JointSpace) else len(space.canonical_codes),
                "measured": _measured(space.id),
                "description": space.description,
            }
        )
    return entries


def _measured(space: str) -> list[str]:
    """The tasks that the space's shipped table holds, or, of a joint space, that it has a surrogate of."""
    import json

    from metabench import content

    home = content.folder("surrogates") / space
    manifest = home / "table" / "manifest.json"
    if not manifest.is_file():
        return [f"{path.parent.name} (surrogate)" for path in sorted(home.glob("surrogate/*/manifest.json"))]
    try:
        tasks = json.loads(manifest.read_text(encoding="utf-8"))["tasks"]
        return [str(task) for task in tasks]
    except (OSError, ValueError, KeyError, TypeError):  # no table yet, or one that only `query` can complain about
        return []


def _tasks(detail: bool) -> list[dict[str, Any]]:
    from metabench import content
    from metabench.datasets import load_task
    from metabench.envs import environment_identifiers, load_environment

    tasks = [load_task(identifier) for identifier in content.identifiers("tasks", of="dataset")]
    environments = [load_environment(identifier) for identifier in environment_identifiers()]
    few_shot = [
        content.read_toml(content.locate("tasks", name)) for name in content.identifiers("tasks", of="few-shot")
    ]
    return (
        [
            {
                "name": task.id,
                "kind": "dataset",
                "metric": task.metric,
                "epochs": list(task.epochs),
                "reference": dict(task.reference),
                "description": task.description,
            }
            for task in tasks
        ]
        + [
            {
                "name": task.id,
                "kind": "environment",
                "metric": "return",
                "epochs": [],
                "reference": _scale(task.reference),
                "description": task.description,
            }
            for task in environments
        ]
        + [
            {
                "name": task["id"],
                "kind": "few-shot",
                "metric": task["metric"],
                "epochs": [],
                "reference": {},
                "description": task["description"],
            }
            for task in few_shot
        ]
    )


def _scale(reference: Any) -> dict[str, float]:
    """The returns whose scores are zero and one."""
    if reference is None:
        return {}
    return {policy: round(reference.total(policy), 3) for policy in ("random", reference.unit)}


def _blocks(detail: bool) -> list[dict[str, Any]]:
    from metabench.blocks import BLOCKS

    return _registered(BLOCKS, detail)


def _searchers(detail: bool) -> list[dict[str, Any]]:
    from metabench.searchers import SEARCHERS

    return _registered(SEARCHERS, detail)


def _agents(detail: bool) -> list[dict[str, Any]]:
    from metabench.metarl import AGENTS

    return _registered(AGENTS, detail)


_HAND_MADE = ("sgd", "momentum", "rmsprop", "adam")
"""What learned optimizers are compared with."""


def _optimizers(detail: bool) -> list[dict[str, Any]]:
    """Shipped learned optimizers, then hand-made ones. Names alone are read without torch."""
    from metabench import content

    places = sorted((content.folder("surrogates") / "optimizers").glob("*/manifest.json"))
    if not detail:
        return [{"name": name} for name in (*(path.parent.name for path in places), *_HAND_MADE)]
    from metabench.learned.optimizers import RULES, load_weights

    entries = []
    for path in places:
        rule, weights, manifest = load_weights(path.parent)
        steps, count = manifest["provenance"].get("iterations"), sum(value.numel() for value in weights.values())
        found = f"{count:,} weights" if steps is None else f"{count:,} weights from {steps:,} meta-steps"
        entries.append(
            {
                "name": path.parent.name,
                "kind": f"learned ({rule.kind})",
                "description": f"{_first_line(type(rule), rule.kind)} {found}.",
                "weights": f"surrogates/optimizers/{path.parent.name}",
                "citation": rule.citation,
            }
        )
    for name in _HAND_MADE:
        rule_type = RULES.get(name)
        entries.append(
            {
                "name": name,
                "kind": "hand-made",
                "description": f"{_first_line(rule_type, name)} One learning rate to tune.",
                "weights": "-",
                "citation": rule_type.citation,
            }
        )
    return entries


def _registered(registry: Any, detail: bool) -> list[dict[str, Any]]:
    """Names alone are read without importing the components (and so without torch)."""
    if not detail:
        return [{"name": name} for name in registry.names()]
    return [
        {
            "name": name,
            "description": _first_line(registry.get(name), name),
            "citation": find_citation(registry.get(name)),
        }
        for name in registry.names()
    ]


def _first_line(component: Any, name: str) -> str:
    """The first docstring line, of the component or of what it is made from, that says more than its name."""
    for owner in getattr(component, "__mro__", (component,)):
        line = (vars(owner).get("__doc__") or "").strip().partition("\n")[0].strip()
        if line and line.strip("`.") != name and owner is not object:
            return line.replace("``", "")
    return ""


KINDS: dict[str, Callable[[bool], list[dict[str, Any]]]] = {
    "spaces": _spaces,
    "tasks": _tasks,
    "blocks": _blocks,
    "searchers": _searchers,
    "agents": _agents,
    "optimizers": _optimizers,
}
"""Kind -> a function of "in detail?" that gives its entries."""


def _print_entries(kind: str, entries: list[dict[str, Any]]) -> None:
    keys = [key for key in (entries[0] if entries else ["name"]) if key != "citation"]
    columns = [
        Column(
            key, "right" if _is_number(entries, key) else "left", wrap=key in ("description", "reference", "measured")
        )
        for key in keys
    ]
    print_table(kind, columns, [[_cell(entry[key]) for key in keys] for entry in entries])


def _is_number(entries: list[dict[str, Any]], key: str) -> bool:
    return all(isinstance(entry[key], (int, float)) for entry in entries) and bool(entries)


def _cell(value: Any) -> str:
    if isinstance(value, dict):
        return ", ".join(f"{key} {_cell(item)}" for key, item in value.items()) or "-"
    if isinstance(value, list) and len(value) > 4 and all(isinstance(item, int) for item in value):
        return f"{value[0]} to {value[-1]}"
    if isinstance(value, list):
        return ", ".join(map(_cell, value)) or "-"
    return f"{value:,}" if isinstance(value, int) else str(value)


def _paragraph(names: list[str]) -> str:
    import textwrap

    return textwrap.fill(", ".join(names), width=100, break_on_hyphens=False)
