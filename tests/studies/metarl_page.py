"""Collects the finished lines of the meta-RL study: ``results.json``, and for people ``README.md`` and a figure.

usage: python tests/studies/metarl_page.py RUNS OUT
"""

from __future__ import annotations

import json
import shlex
import sys
from pathlib import Path
from typing import Any

from metabench.analysis.drawing import PALETTE, new_figure, save, style
from metabench.envs import load_environment
from metabench.metarl.folder import seed_folder
from metabench.metarl.log import read_metrics

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


def collect_line(folder: Path) -> dict[str, Any] | None:
    """What a finished line found, with each seed's learning curve; None if it is not finished."""
    summary = folder / "summary.json"
    if not summary.is_file():
        return None
    report = json.loads(summary.read_text(encoding="utf-8"))
    curves = {}
    for seed in report["seeds"]:
        lines = read_metrics(seed_folder(folder, seed["seed"]))
        points = [line for line in lines if "charts/eval_return" in line]
        curves[str(seed["seed"])] = [[line["frames"], round(line["charts/eval_return"], 3)] for line in points]
    kept = ("agent", "env", "frames", "unit", "seeds", "trial_return", "fraction", "notes")
    return {**{name: report[name] for name in kept}, "curves": curves}


def judge(name: str, line: dict[str, Any]) -> str:
    """``met``, ``not met`` or nothing, if nothing is asked."""
    if name not in GOALS:
        return ""
    measure, sign, bound = GOALS[name]
    found = (line["fraction"] if measure == "fraction" else line["trial_return"])[0]
    met = {">=": found >= bound, "<=": found <= bound, ">": found > bound}[sign]
    return f"{measure} {sign} {bound:g}: {'met' if met else 'not met'}"


def write_page(found: dict[str, dict[str, Any]]) -> str:
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


def main(runs: Path, out: Path) -> None:
    """Keeps what an earlier page had and this folder of runs has not."""
    path = out / "results.json"
    found = json.loads(path.read_text(encoding="utf-8")) if path.is_file() else {}
    for folder in sorted(runs.iterdir()):
        line = collect_line(folder)
        if line is not None:
            found[folder.name] = line
    found = {name: found[name] for name in sorted(found, key=_natural)}
    out.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    (out / "README.md").write_text(write_page(found), encoding="utf-8")
    if found:
        draw(found, out)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
