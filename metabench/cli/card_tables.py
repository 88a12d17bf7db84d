"""The tables that ``metabench card`` prints."""

from __future__ import annotations

from collections.abc import Mapping
from statistics import median
from typing import Any

from metabench.cli.numbers import write_number
from metabench.cli.output import Column, print_table

__all__ = [
    "print_effects",
    "print_hyperparameters",
    "print_kinds",
    "print_searchers_left_out",
    "print_surrogates",
    "print_tasks",
]

_BASELINES = ("parameters only", "additive in the blocks")


def print_tasks(space: str, tasks: Mapping[str, Any]) -> None:
    """How much of each task is measured, how reliable its scores are, and what simple baselines reach."""
    columns = [
        Column("task", "left"),
        Column("measured\n[%]"),
        Column("seeds"),
        Column("test score\nrange [%]"),
        Column("sd arch.\n[points]"),
        Column("sd seed\n[points]"),
        Column("ICC of one seed\n(95%)"),
        Column("without\nshift"),
        Column("tau\nseeds"),
        Column("tau of\nparameters"),
        Column("tau\nadditive"),
        Column("failed\n[%]"),
    ]
    rows = []
    for task, card in tasks.items():
        share = f"{100 * card['share']:.1f}"
        if "reliability" not in card:
            rows.append([task, share, str(card["seeds"]), *["-"] * 9])
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
                write_number(found["consistency"], icc),
                write_number(card["seed_kendall_tau"], ".2f"),
                *(write_number(base[name]["kendall_tau"] if base else None, ".2f") for name in _BASELINES),
                f"{100 * (card['diverged'] + card['unconverged']):.1f}",
            ]
        )
    caption = (
        "Test scores at the last epoch. ICC: share of the variance of one seed's score that is the architecture's, and "
        "without the shift that a seed gives to all. Failed: diverged, or more than 5% of samples unconverged."
    )
    print_table(f"The table of {space}", columns, rows, caption=caption)
    for task, card in tasks.items():
        if card.get("best"):
            best, worst = card["best"][0], card["worst"][0]
            print(
                f"{task}: best {best['architecture']} ({100 * best['test_score']:.1f}), "
                f"worst {worst['architecture']} ({100 * worst['test_score']:.1f})"
            )


def print_kinds(tasks: Mapping[str, Any]) -> None:
    """Mean scores of the deepest architectures whose blocks are all of one kind."""
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


def print_effects(tasks: Mapping[str, Any]) -> None:
    """What one block in the place of another changes, at the largest depth."""
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


def print_hyperparameters(tasks: Mapping[str, Any]) -> None:
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


def print_surrogates(tasks: Mapping[str, Any]) -> None:
    """How good surrogates are on architectures that they have not seen, beside the ceilings."""
    from metabench.analysis.surrogate_card import held_out_figures

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
            test, deepest = held_out_figures(found)
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
    if not rows:
        return
    print()
    caption = (
        "Held-out architectures, test score at the last epoch; the deepest are those with the most blocks. Ceilings: "
        "what knowing their true means would give, if architectures had no noise in common."
    )
    print_table("Surrogates", columns, rows, caption=caption)


def print_searchers_left_out(tasks: Mapping[str, Any]) -> None:
    """How good surrogates are on what one searcher trained and the others did not, from the others' trainings."""
    columns = [
        Column("task", "left"),
        Column("model", "left"),
        Column("searchers"),
        Column("fitted to"),
        Column("tested on"),
        Column("R2, median\n[min, max]"),
        Column("tau, median\n[min, max]"),
        Column("tau\nceiling"),
    ]
    rows = []
    for task, card in tasks.items():
        for model, evaluation in card.get("surrogate", {}).items():
            found = [one for one in evaluation.get("leave_searcher_out", {}).values() if one]
            if found:
                sizes = [(min(one[key] for one in found), max(one[key] for one in found)) for key in ("train", "test")]
                ceilings = [one["kendall_tau_ceiling"] for one in found if one.get("kendall_tau_ceiling") is not None]
                rows.append(
                    [
                        task,
                        model,
                        str(len(found)),
                        *(f"{low} to {high}" for low, high in sizes),
                        *(_spread([one[key] for one in found]) for key in ("r2", "kendall_tau")),
                        write_number(median(ceilings) if ceilings else None, ".2f"),
                    ]
                )
    if not rows:
        return
    print()
    caption = (
        "Each searcher's architectures, test score at the last epoch, predicted from those that only the others "
        "trained: the first run of each. Where a searcher trained good ones only, they differ little, and R2 is low."
    )
    print_table("One searcher left out", columns, rows, caption=caption)


def _spread(values: list[float | None]) -> str:
    known = [value for value in values if value is not None]
    return f"{median(known):.2f} [{min(known):.2f}, {max(known):.2f}]" if known else "-"
