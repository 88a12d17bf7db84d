"""Collects the finished lines of the meta-RL study: ``results.json``, and for people ``README.md`` and a figure.

The tries that settings were chosen by, run folders named ``try-...``, are in ``tries.json`` and in their own table.

usage: python tests/studies/metarl_page.py RUNS OUT
"""

from __future__ import annotations

import dataclasses
import json
import shlex
import shutil
import sys
from pathlib import Path
from typing import Any

from metabench.analysis.drawing import PALETTE, new_figure, save, style
from metabench.envs import load_environment
from metabench.metarl.folder import PLAN_FILE, seed_folder
from metabench.metarl.log import read_metrics
from metabench.metarl.presets import preset
from metabench.metarl.settings import complete_settings

GOALS: dict[str, tuple[str, str, float]] = {
    "varibad-grid": ("fraction", ">=", 0.95),
    "varibad-grid-annealed": ("fraction", ">=", 0.95),
    "hyperx-rooms": ("fraction", ">=", 0.70),
    "varibad-rooms": ("return", "<=", 370.0),
    "hyperx-treasure": ("return", ">", 555.0),
    **{f"{agent}-bandit-{k}": ("fraction", ">=", 0.98) for agent in ("rl2", "varibad") for k in ("5", "10")},
    **{f"{agent}-bandit-100-{k}": ("fraction", ">=", 0.97) for agent in ("rl2", "varibad") for k in ("5", "10")},
}
"""Line -> what is asked of it: of the interquartile mean over seeds."""
WAYS = ("hyperx-treasure", "varibad-treasure")
"""Lines whose first seed's ways walked are shown."""
SEEDS = 3
"""A line is finished when so many are."""
LAST = 3
"""A try is judged by so many evaluations at its end: one alone depends on where the policy happened to stand."""


def collect_line(folder: Path) -> dict[str, Any] | None:
    """What a finished line found, with each seed's learning curve; None if it is not finished."""
    summary = folder / "summary.json"
    if not summary.is_file():
        return None
    report = json.loads(summary.read_text(encoding="utf-8"))
    if len(report["seeds"]) < SEEDS:
        return None
    curves = {}
    for seed in report["seeds"]:
        lines = read_metrics(seed_folder(folder, seed["seed"]))
        points = [line for line in lines if "charts/eval_return" in line]
        curves[str(seed["seed"])] = [[line["frames"], round(line["charts/eval_return"], 3)] for line in points]
    kept = ("agent", "env", "frames", "unit", "seeds", "trial_return", "fraction", "notes")
    return {**{name: report[name] for name in kept}, "curves": curves}


def collect_try(folder: Path) -> dict[str, Any] | None:
    """What differed from the preset, and each seed's best evaluation and its mean over the last; None if unfinished."""
    summary = folder / "summary.json"
    if not summary.is_file():
        return None
    report = json.loads(summary.read_text(encoding="utf-8"))
    settings = complete_settings(json.loads((folder / PLAN_FILE).read_text(encoding="utf-8"))["settings"])
    usual = json.loads(json.dumps(dataclasses.asdict(preset(report["agent"], report["env"]))))
    seeds = {}
    for seed in report["seeds"]:
        lines = read_metrics(seed_folder(folder, seed["seed"]))
        returns = [line["charts/eval_return"] for line in lines if "charts/eval_return" in line]
        last = returns[-LAST:]
        seeds[str(seed["seed"])] = {"last": round(sum(last) / len(last), 3), "best": round(max(returns), 3)}
    changes = {name: settings[name] for name in usual if name != "frames" and settings[name] != usual[name]}
    return {name: report[name] for name in ("agent", "env", "frames")} | {"changes": changes, "seeds": seeds}


def judge(name: str, line: dict[str, Any]) -> str:
    """``met``, ``not met`` or nothing, if nothing is asked."""
    if name not in GOALS:
        return ""
    measure, sign, bound = GOALS[name]
    found = (line["fraction"] if measure == "fraction" else line["trial_return"])[0]
    met = {">=": found >= bound, "<=": found <= bound, ">": found > bound}[sign]
    return f"{measure} {sign} {bound:g}: {'met' if met else 'not met'}"


def write_tries(tries: dict[str, dict[str, Any]]) -> list[str]:
    """The part of the page on tries; nothing if there is none."""
    if not tries:
        return []
    rows = [
        "",
        "## What settings were chosen by",
        "",
        "Tries on seeds that no line above has, from 10 on; again: `tests/studies/metarl .venv/bin/metabench tries`,",
        f"or one by its name. A share is the mean of the last {LAST} evaluations, in brackets the best one. With one",
        "seed, a difference of a few percent between two tries is not established.",
        "",
        "| try | agent, environment | frames | changes to the preset | seed: of the best policy known |",
        "| --- | --- | ---: | --- | --- |",
    ]
    for name, line in tries.items():
        reference = load_environment(line["env"]).reference
        unit = 1.0 if reference is None else reference.total(reference.unit)
        form = ".2f" if reference is None else ".1%"
        shares = ", ".join(
            f"{number}: {seed['last'] / unit:{form}} ({seed['best'] / unit:{form}})"
            for number, seed in line["seeds"].items()
        )
        changes = " ".join(f"{key}={json.dumps(value).strip(chr(34))}" for key, value in line["changes"].items())
        rows.append(f"| `{name}` | {line['agent']}, {line['env']} | {line['frames']:,} | {changes} | {shares} |")
    return rows


def write_page(found: dict[str, dict[str, Any]], tries: dict[str, dict[str, Any]], ways: list[str]) -> str:
    """The Markdown page."""
    rows = [
        "| line | frames | trial's return (IQM, 95%) | of the best policy known | each seed | asked |",
        "| --- | ---: | --- | --- | --- | --- |",
    ]
    for name, line in found.items():
        middle, low, high = line["trial_return"]
        share, each = "", ""
        if line["fraction"] is not None:
            share = f"{line['fraction'][0]:.1%} of {line['unit']}"
            each = ", ".join(f"{seed['fraction']:.0%}" for seed in line["seeds"])
        rows.append(
            f"| `{name}` | {line['frames']:,} | {middle:.2f} ({low:.2f} to {high:.2f}) | {share} "
            f"| {each} | {judge(name, line)} |"
        )
    references = []
    for env in dict.fromkeys(line["env"] for line in found.values()):
        reference = load_environment(env).reference
        if reference is not None:
            values = ", ".join(f"{policy} {reference.total(policy):.2f}" for policy in reference.returns)
            references.append(f"- `{env}`: {values}")
    lines = " ".join(shlex.quote(name) for name in found)
    return "\n".join(
        [
            "# Meta-RL agents on environments with known optima",
            "",
            "Written by `tests/studies/metarl_page.py`; the return at each evaluation is in `results.json`.",
            "Evaluations are greedy, on the same drawn tasks for all, so that a share can pass 100% of an exact value",
            "by luck of the draw; IQM is the interquartile mean over seeds.",
            f"Again: `tests/studies/metarl .venv/bin/metabench {lines}`; `--list` says frames and minutes.",
            "",
            *rows,
            "",
            "![Return of a trial against environment steps](learning-curves.png)",
            "",
            "Reference policies, return of a trial:",
            "",
            *references,
            *(part for name in ways for part in ("", f"![Ways walked by {name}, seed 0]({name}-paths.png)")),
            *write_tries(tries),
            "",
        ]
    )


def draw(found: dict[str, dict[str, Any]], out: Path) -> None:
    """The return of a trial against environment steps: a panel a line, a curve a seed, the references across."""
    columns = min(len(found), 3)
    rows = -(-len(found) // columns)
    figure = new_figure(4.0 * columns, 2.9 * rows)
    panels = figure.subplots(rows, columns, squeeze=False)
    for axes, (name, line) in zip(panels.flat, found.items(), strict=False):
        style(axes)
        for i, (seed, points) in enumerate(line["curves"].items()):
            frames, returns = zip(*points, strict=True)
            axes.plot([f / 1e6 for f in frames], returns, color=PALETTE[i], linewidth=1.3, label=f"seed {seed}")
        reference = load_environment(line["env"]).reference
        if reference is not None:
            values = {policy: reference.total(policy) for policy in (reference.unit, "random")}
            if name in GOALS:
                measure, _, bound = GOALS[name]
                values["asked"] = bound * (values[reference.unit] if measure == "fraction" else 1.0)
            for (label, value), dashes in zip(values.items(), ((5, 2), (1, 2), (5, 2, 1, 2)), strict=False):
                axes.axhline(value, color="#555555", linewidth=1.0, linestyle=(0, dashes), label=label)
        axes.set_title(name, loc="left", fontsize=10)
        axes.set_xlabel("environment steps [millions]")
        axes.set_ylabel("return of a trial")
        axes.legend(frameon=False, fontsize=7, loc="best")
    for axes in list(panels.flat)[len(found) :]:
        axes.set_axis_off()
    save(figure, out, "learning-curves", for_print=False)


def _natural(name: str) -> list[tuple[int, str]]:
    """Sorts numbers in names as numbers."""
    return [(int(part), "") if part.isdigit() else (0, part) for part in name.split("-")]


def gather(path: Path, collected: dict[str, dict[str, Any] | None]) -> dict[str, dict[str, Any]]:
    """Keeps what the file had and these runs have not, and writes it again."""
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    found |= {name: line for name, line in collected.items() if line is not None}
    found = {name: found[name] for name in sorted(found, key=_natural)}
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def main(runs: Path, out: Path) -> None:
    """Writes the page anew."""
    out.mkdir(parents=True, exist_ok=True)
    folders = sorted(runs.iterdir())
    tried = [folder for folder in folders if folder.name.startswith("try-")]
    found = gather(out / "results.json", {f.name: collect_line(f) for f in folders if f not in tried})
    tries = gather(out / "tries.json", {folder.name: collect_try(folder) for folder in tried})
    for name in WAYS:
        drawn = runs / name / "paths.png"
        if name in found and drawn.is_file():
            shutil.copyfile(drawn, out / f"{name}-paths.png")
    ways = [name for name in WAYS if (out / f"{name}-paths.png").is_file()]
    (out / "README.md").write_text(write_page(found, tries, ways), encoding="utf-8")
    if found:
        draw(found, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
