"""``metabench card``: what a table's numbers are worth, and how good its surrogates are."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from metabench.cli.card_tables import (
    print_effects,
    print_hyperparameters,
    print_kinds,
    print_searchers_left_out,
    print_surrogates,
    print_tasks,
)
from metabench.cli.output import plain, print_json, short_path
from metabench.cli.parse import optional
from metabench.errors import ArgumentError
from metabench.machine import core_count

if TYPE_CHECKING:
    from metabench.spaces import JointSpace, Space
    from metabench.surrogate import Measurements, Settings

__all__ = ["Options", "run"]


@dataclass(frozen=True)
class Options:
    """Describe a packed table, complete or not: its noise ceilings, baselines and effects of blocks."""

    space: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SPACE")]
    """The space: an id, or a path to your own .toml definition."""
    tasks: Annotated[tuple[str, ...], optional("TASK...")] = ()
    """The tasks: ids or paths; all of the table if left out."""
    surrogates: Annotated[tuple[str, ...], optional("MODEL...")] = ()
    """Evaluate surrogates on held-out architectures too: lightgbm, neural. Takes minutes a task. Evaluations that an
    earlier card holds of the same measurements are kept."""
    searchers: Annotated[tuple[Path, ...], optional("RUN...")] = ()
    """Run folders of searches on this space: leave-one-searcher-out is evaluated as well, on each one's first run."""
    workers: Annotated[int | None, optional("N")] = None
    """Processes that evaluate surrogates; one a core if left out."""
    out: Annotated[Path | None, optional("DIR")] = None
    """The space's folder, with the table in it; surrogates/SPACE if left out."""
    json: bool = False
    """Print the card as one JSON document."""


def run(options: Options) -> None:
    """Makes the card, writes it, and prints the summary."""
    from metabench.analysis.card import table_card
    from metabench.analysis.card_figures import save_card_figures
    from metabench.analysis.evaluations import kept_evaluations
    from metabench.analysis.joint_card import joint_extremes, marginals
    from metabench.spaces import JointSpace, load_space
    from metabench.surrogate.settings import Settings
    from metabench.tables.fit import open_measurements
    from metabench.tables.joint_data import open_joint
    from metabench.tables.shards import table_home, write_atomically

    if options.workers is not None and options.workers < 1:
        raise ArgumentError(f"--workers {options.workers}: expected at least 1.")
    if options.searchers and not options.surrogates:
        raise ArgumentError("--searchers is for evaluating surrogates; add --surrogates lightgbm.")
    settings = [Settings(model=model) for model in options.surrogates]  # type: ignore[arg-type]
    space = load_space(options.space)
    if isinstance(space, JointSpace):
        if options.searchers:
            raise ArgumentError(f"--searchers: what searches of the joint space {space.id!r} visit is not trained.")
        found = open_joint(space, options.tasks or None, out=options.out)
        measured = {task: data for task, (_, data) in found.items()}
        card = table_card(space.id, measured)
        for task, (codes, data) in found.items():
            own = {"hyperparameters": marginals(space, codes, data), **joint_extremes(space, codes, data)}
            card["tasks"][task] |= {**own, "share": len(codes) / space.sampling.samples}
    else:
        space, table, measured = open_measurements(options.space, options.tasks or None, out=options.out)
        card = table_card(space.id, measured)
        card["table"] = {key: table.manifest[key] for key in ("protocols", "finished", "architectures", "libraries")}
    home = table_home(space.id, options.out)

    def save() -> None:
        text = json.dumps(plain(card), indent=1, ensure_ascii=False, allow_nan=False)
        write_atomically(home / "card.json", (text + "\n").encode())

    for task, kept in kept_evaluations(_old_card(home / "card.json"), measured).items():
        card["tasks"][task]["surrogate"] = kept
    if settings:
        _evaluate(options, space, measured, card, settings, save)
    save()
    figures = save_card_figures(card, measured, home / "figures")
    if options.json:
        print_json({**card, "figures": figures})
        return
    print_tasks(space.id, card["tasks"])
    print_kinds(card["tasks"])
    print_effects(card["tasks"])
    print_hyperparameters(card["tasks"])
    print_surrogates(card["tasks"])
    print_searchers_left_out(card["tasks"])
    print(f"\ncard: {short_path(home / 'card.json')}")
    for figure in figures:
        print(f"figure: {short_path(figure)}")


def _old_card(path: Path) -> Any:
    """What an earlier call wrote; nothing of a damaged one is kept."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _evaluate(
    options: Options,
    space: Space | JointSpace,
    measured: Mapping[str, Measurements],
    card: dict[str, Any],
    settings: Sequence[Settings],
    save: Callable[[], None],
) -> None:
    """Evaluates surrogates into the card and saves it after each, so that a call after an interruption goes on."""
    from metabench.analysis.evaluations import evaluate_surrogates
    from metabench.analysis.visited import visited_architectures
    from metabench.spaces import JointSpace

    visited = {}
    if not isinstance(space, JointSpace):
        visited = {task: visited_architectures(options.searchers, space, task) for task in measured}

    def done(task: str, model: str, evaluation: dict[str, Any]) -> None:
        card["tasks"][task].setdefault("surrogate", {})[model] = evaluation
        save()
        if sys.stderr.isatty():
            print(f"{task}: {model} evaluated", file=sys.stderr)

    evaluate_surrogates(
        measured,
        settings,
        visited=visited,
        kept={task: card["tasks"][task].get("surrogate", {}) for task in measured},
        done=done,
        workers=options.workers or core_count(),
    )
