"""``metabench card``: what a table's numbers are worth, and how good its surrogates are."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import tyro

from metabench.cli.numbers import write_number
from metabench.cli.output import Column, plain, print_json, print_table, short_path
from metabench.cli.parse import optional
from metabench.errors import ArgumentError

if TYPE_CHECKING:
    import numpy as np

    from metabench.spaces import JointSpace, Space

__all__ = ["Options", "run"]


@dataclass(frozen=True)
class Options:
    """Describe a packed table, complete or not: its noise ceilings, baselines and effects of blocks."""

    space: Annotated[tyro.conf.Positional[str], tyro.conf.arg(metavar="SPACE")]
    """The space: an id, or a path to your own .toml definition."""
    tasks: Annotated[tuple[str, ...], optional("TASK...")] = ()
    """The tasks: ids or paths; all of the table if left out."""
    surrogates: Annotated[tuple[str, ...], optional("MODEL...")] = ()
    """Evaluate surrogates on held-out architectures too: lightgbm, neural. Takes minutes a task."""
    searchers: Annotated[tuple[Path, ...], optional("RUN...")] = ()
    """Run folders of searches on this space: leave-one-searcher-out is evaluated as well, on each one's first run."""
    out: Annotated[Path | None, optional("DIR")] = None
    """The space's folder, with the table in it; surrogates/SPACE if left out."""
    json: bool = False
    """Print the card as one JSON document."""


def run(options: Options) -> None:
    """Makes the card, writes it, and prints the summary."""
    from metabench.analysis.card import table_card
    from metabench.analysis.card_figures import save_card_figures
    from metabench.analysis.joint_card import joint_extremes, marginals
    from metabench.spaces import JointSpace, load_space
    from metabench.surrogate.settings import Settings
    from metabench.tables.fit import open_measurements
    from metabench.tables.joint_data import open_joint
    from metabench.tables.shards import table_home, write_atomically

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
    if settings:
        _evaluate(options, space, measured, card, settings)
    home = table_home(space.id, options.out)
    text = json.dumps(plain(card), indent=1, ensure_ascii=False, allow_nan=False)
    write_atomically(home / "card.json", (text + "\n").encode())
    figures = save_card_figures(card, measured, home / "figures")
    if options.json:
        print_json({**card, "figures": figures})
        return
    _print_tasks(space.id, card["tasks"])
    _print_kinds(card["tasks"])
    _print_effects(card["tasks"])
    _print_hyperparameters(card["tasks"])
    if settings:
        _print_surrogates(card["tasks"])
    print(f"\ncard: {short_path(home / 'card.json')}")
    for figure in figures:
        print(f"figure: {short_path(figure)}")


def _evaluate(
    options: Options, space: Space | JointSpace, measured: Mapping[str, Any], card: dict[str, Any], settings: Any
) -> None:
    import sys

    from metabench.analysis.surrogate_card import surrogate_card

    def tell(text: str) -> None:
        if sys.stderr.isatty():
            print(text, file=sys.stderr)

    for task, data in measured.items():
        visited = _visited(options.searchers, space, task)
        card["tasks"][task]["surrogate"] = {
            s.model: surrogate_card(
                data, s, visited=visited or None, progress=lambda text, t=task: tell(f"{t}: {text}")
            )
            for s in settings
        }


def _visited(folders: tuple[Path, ...], space: Any, task: str) -> dict[str, np.ndarray]:
    """Which architectures each searcher's first run in a folder has trained to the end.

    One run a searcher: twenty together, or brackets that start hundreds of trainings, see the whole of a small space,
    and then nothing is left that only the others saw.
    """
    import numpy as np

    visited: dict[str, np.ndarray] = {}
    for folder in folders:
        if not (folder / "run.json").is_file():
            raise ArgumentError(f"{folder} is no run folder (it has no run.json); expected one of 'metabench search'.")
        for home in sorted(folder.glob(f"{space.id}/{task}/*/")):
            path = min(home.glob("seed-*.jsonl"), default=None)
            if path is None:
                continue
            try:
                trials = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
                last = max((trial.get("epoch", 0) for trial in trials), default=0)
                codes = [trial["code"] for trial in trials if trial.get("epoch", 0) == last]
                rows = space.row_of[np.array(codes, dtype=np.int64)]
            except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
                raise ArgumentError(f"{path}: not a list of trials ({error}); run the search again.") from error
            mask = visited.setdefault(home.name, np.zeros(len(space.canonical_codes), dtype=bool))
            mask[rows] = True
    return visited


def _print_tasks(space: str, tasks: Mapping[str, Any]) -> None:
    columns = [
        Column("task", "left"),
        Column("measured\n[%]"),
        Column("seeds"),
        Column("test score\nrange [%]"),
        Column("sd arch.\n[points]"),
        Column("sd seed\n[points]"),
        Column("ICC of one seed\n(95%)"),
        Column("tau\nseeds"),
        Column("tau of\nparameters"),
        Column("tau\nadditive"),
        Column("failed\n[%]"),
    ]
    rows = []
    for task, card in tasks.items():
        share = f"{100 * card['share']:.1f}"
        if "reliability" not in card:
            rows.append([task, share, str(card["seeds"]), *["-"] * 8])
            continue
        found, score, base = card["reliability"], card["test_score"], card["baselines"]
        icc = ".2f"
        rows.append(
            [
                task,
                share,
                str(card["seeds"]),
                f"{100 * score['min']:.1f} to {100 * score['max']:.1f}",
                write_number(100 * found["architecture_sd"], ".2f"),
                write_number(100 * found["seed_sd"], ".2f"),
                f"{write_number(found['icc'], icc)} ({write_number(found['icc_low'], icc)} to "
                f"{write_number(found['icc_high'], icc)})",
                write_number(card["seed_kendall_tau"], ".2f"),
                *(write_number(base[name]["kendall_tau"] if base else None, ".2f") for name in _BASELINES),
                f"{100 * (card['diverged'] + card['unconverged']):.1f}",
            ]
        )
    caption = (
        "Test scores at the last epoch. ICC: share of the variance of one seed's score that is the architecture's. "
        "Failed: diverged, or more than 5% of samples unconverged."
    )
    print_table(f"The table of {space}", columns, rows, caption=caption)
    for task, card in tasks.items():
        if card.get("best"):
            best, worst = card["best"][0], card["worst"][0]
            print(
                f"{task}: best {best['architecture']} ({100 * best['test_score']:.1f}), "
                f"worst {worst['architecture']} ({100 * worst['test_score']:.1f})"
            )


_BASELINES = ("parameters only", "additive in the blocks")


def _print_kinds(tasks: Mapping[str, Any]) -> None:
    found = [(task, kind) for task, card in tasks.items() for kind in card.get("by_kind", ())]
    if not found:
        return
    deepest = max(kind["blocks"] for _, kind in found)
    columns = [
        Column("task", "left"),
        Column("kind", "left"),
        Column("cell", "left"),
        Column("architectures"),
        Column("mean score\n[%]"),
        Column("95% interval\n[%]"),
    ]
    rows = [
        [
            task,
            kind["kind"],
            kind["cell"],
            str(kind["architectures"]),
            f"{100 * kind['mean']:.1f}",
            f"{100 * kind['low']:.1f} to {100 * kind['high']:.1f}",
        ]
        for task, kind in found
        if kind["blocks"] == deepest
    ]
    print()
    print_table(f"Architectures of {deepest} blocks that are all of one kind", columns, rows)


def _print_effects(tasks: Mapping[str, Any]) -> None:
    found = [(task, e) for task, card in tasks.items() for e in card.get("effects", ()) if e["stage"] is None]
    if not found:
        return
    deepest = max(e["depth"] for _, e in found)
    columns = [
        Column("task", "left"),
        Column("replaced", "left"),
        Column("by", "left"),
        Column("pairs"),
        Column("more\nparameters"),
        Column("change\n[points]"),
        Column("95% interval\n[points]"),
        Column("better\n[%]"),
    ]
    rows = [
        [
            task,
            e["before"],
            e["after"],
            f"{e['pairs']:,}",
            write_number(e["parameters"], "+,.0f"),
            f"{100 * e['mean']:+.2f}",
            "-" if e["low"] is None else f"{100 * e['low']:+.2f} to {100 * e['high']:+.2f}",
            f"{100 * e['better']:.0f}",
        ]
        for task, e in found
        if e["depth"] == deepest
    ]
    caption = (
        "Pairs of architectures that differ in this block only, at any stage; intervals over architectures and seeds. "
        "gated cells have twice the block parameters of the others."
    )
    print()
    print_table(f"One block replaced, in architectures of {deepest} blocks", columns, rows, caption=caption)


def _print_hyperparameters(tasks: Mapping[str, Any]) -> None:
    """What each level, or each fifth of a range, of a joint space's hyperparameters goes with."""
    found = [(task, h) for task, card in tasks.items() for h in card.get("hyperparameters", ())]
    if not found:
        return
    columns = [
        Column("task", "left"),
        Column("hyperparameter", "left"),
        Column("value", "left"),
        Column("configurations"),
        Column("mean score\n[%]"),
        Column("95% interval\n[%]"),
        Column("NFE\nforward"),
        Column("unconverged\n[%]"),
        Column("train time\n[s]"),
    ]
    rows = []
    for task, h in found:
        for part in h.get("levels", h.get("bins", ())):
            value = part.get("level") or f"{part['low_value']:.3g} to {part['high_value']:.3g}"
            if "low" not in part:
                continue
            rows.append(
                [
                    task,
                    h["name"],
                    value,
                    f"{part['configurations']:,}",
                    f"{100 * part['test_score']:.1f}",
                    f"{100 * part['low']:.1f} to {100 * part['high']:.1f}",
                    write_number(part["nfe_forward"], ".1f"),
                    write_number(None if part["unconverged"] is None else 100 * part["unconverged"], ".1f"),
                    write_number(part["train_seconds"], ".2f"),
                ]
            )
    print()
    caption = "All others drawn at random, where the hyperparameter is active. Intervals over configurations."
    print_table("Hyperparameters", columns, rows, caption=caption)


def _print_surrogates(tasks: Mapping[str, Any]) -> None:
    columns = [
        Column("task", "left"),
        Column("model", "left"),
        Column("R2 of all,\nof deepest"),
        Column("R2\nceiling"),
        Column("sparse tau of\nall, of deepest"),
        Column("tau\nceiling"),
        Column("coverage of\n50/80/95% [%]"),
        Column("family\nleft out: tau"),
        Column("one seed: surrogate\n/ table [points]"),
    ]
    rows = []
    for task, card in tasks.items():
        for model, found in card.get("surrogate", {}).items():
            test = found["cross_validation"]["last_epoch"]["test_score"]
            by_blocks = found["cross_validation"]["by_blocks"]
            deepest = by_blocks[max(by_blocks, key=int)] if by_blocks else test
            inside = test["calibration"]["replicate"]["coverage"].values()
            families = [
                f["kendall_tau"] for f in found["leave_family_out"].values() if f and f["kendall_tau"] is not None
            ]
            one = (found["one_seed"] or {}).get("mean_absolute_error")
            rows.append(
                [
                    task,
                    model,
                    f"{write_number(test['r2'], '.3f')}, {write_number(deepest['r2'], '.3f')}",
                    write_number(deepest["r2_ceiling"], ".3f"),
                    f"{write_number(test['sparse_kendall_tau'], '.3f')}, "
                    f"{write_number(deepest['sparse_kendall_tau'], '.3f')}",
                    write_number(deepest["kendall_tau_ceiling"], ".3f"),
                    " / ".join(f"{100 * share:.0f}" for share in inside),
                    f"{min(families):.2f} to {max(families):.2f}" if families else "-",
                    f"{100 * one['surrogate_seen']:.2f} / {100 * one['table']:.2f}" if one else "-",
                ]
            )
    print()
    caption = (
        "Held-out architectures, test score at the last epoch; the deepest are those with the most blocks. Ceilings: "
        "what knowing their true means would give."
    )
    print_table("Surrogates", columns, rows, caption=caption)
