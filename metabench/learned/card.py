"""The card of a learned optimizer: its comparisons with hand-made ones, as JSON and as figures."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from metabench.files import replace_file
from metabench.learned import load
from metabench.learned.comparison import Comparison, best_setting

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["card_page", "draw_problems", "write_card"]

Curves = dict[str, dict[str, np.ndarray]]
_METRICS = ("train_loss", "val_score")
_ON = {
    "held-out": (
        "Held-out problems",
        "None of their blocks and tasks is in the problems that meta-training or choosing uses.",
    ),
    "validation": ("Validation problems", "The recipe was chosen by them."),
    "shifted": (
        "Where it may fail",
        "Widths and a perceptron that were never seen in meta-training, and longer training.",
    ),
}
_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00")  # Okabe and Ito (2008)


def _best(curves: Curves) -> dict[str, dict[str, list[float]]]:
    """Metric -> optimizer -> the best mean over seeds at each step."""
    return {m: {name: best_setting(found[m], m).tolist() for name, found in curves.items()} for m in _METRICS}


def write_card(
    home: Path,
    name: str,
    results: dict[str, Curves],
    comparisons: Sequence[Comparison],
    steps: Sequence[int],
    command: str,
    on: str = "held-out",
) -> list[Path]:
    """Writes ``card.json``, a figure a metric, and ``README.md`` of all cards that are there.

    The names of files of other problems than the held-out ones end in ``-shifted`` or ``-validation``.

    Args:
        home: the folder; made if needed.
        name: of the optimizer.
        results: problem -> optimizer -> metric -> ``(settings, seeds, steps)``.
        comparisons: over all problems.
        steps: what the last axis is.
        command: that measured them.
        on: which problems these are: held-out, validation or shifted.

    Returns:
        The files.
    """
    home.mkdir(parents=True, exist_ok=True)
    manifest, end = load(name).manifest, _end(on)
    card = {
        "optimizer": str(name),
        "sha256": manifest["sha256"],
        "command": command,
        "steps": list(steps),
        "comparisons": [asdict(comparison) for comparison in comparisons],
        "problems": {problem: _best(curves) for problem, curves in results.items()},
    }
    path = home / f"card{end}.json"
    replace_file(path, json.dumps(_plain(card), indent=1) + "\n")
    made = [path]
    for metric in _METRICS:
        made.append(home / f"{metric}{end}.png")
        draw_problems(results, metric, steps).savefig(made[-1], metadata={"Software": None})
    paths = {on: home / f"card{_end(on)}.json" for on in _ON}
    cards = {on: json.loads(path.read_text(encoding="utf-8")) for on, path in paths.items() if path.is_file()}
    made.append(home / "README.md")
    replace_file(made[-1], card_page(cards))
    return made


def _end(on: str) -> str:
    """What the names of a card's files end in."""
    return "" if on == "held-out" else f"-{on}"


def card_page(cards: dict[str, dict[str, Any]]) -> str:
    """The cards as Markdown, by what problems they are of."""
    name = Path(next(iter(cards.values()))["optimizer"]).name
    lines = [
        f"# {name} against hand-made optimizers",
        "",
        "Every rival has the best of 14 learning rates, chosen anew for each problem and each number of steps, on the",
        "very seeds that are reported. A win is a problem on which the mean over seeds is better; intervals (Wilson,",
        "95%) take problems as independent. Difference, mean over problems and its 95%: ln(training loss / rival's),",
        "where less is better, and accuracy minus the rival's. Every problem's numbers are in the JSON files.",
    ]
    for on, card in cards.items():
        title, what = _ON[on]
        lines += ["", f"## {title}", "", what, "", f"Again: `{card['command']}`", ""]
        lines += ["| rival | steps | loss: wins | difference | accuracy: wins | difference |"]
        lines += ["| --- | ---: | --- | ---: | --- | ---: |"]
        found = {(c["rival"], c["step"], c["metric"]): c for c in card["comparisons"]}
        for rival, step in dict.fromkeys((c["rival"], c["step"]) for c in card["comparisons"]):
            cells = (_cells(found[rival, step, metric]) for metric in _METRICS)
            lines.append(f"| {rival} | {step:,} | " + " | ".join(cells) + " |")
        lines += ["", "ln(training loss / Adam's at its best rate), problem by problem; above zero Adam is better:", ""]
        lines.append("| problem | " + " | ".join(f"{step:,} steps" for step in card["steps"]) + " |")
        lines.append("| --- |" + " ---: |" * len(card["steps"]))
        for problem, metrics in card["problems"].items():
            losses = zip(metrics["train_loss"]["learned"], metrics["train_loss"]["adam"], strict=True)
            lines.append(f"| `{problem}` | " + " | ".join(_log_ratio(*pair) for pair in losses) + " |")
        lines += ["", f"![Training loss beside Adam's](train_loss{_end(on)}.png)"]
    return "\n".join(lines) + "\n"


def _cells(c: dict[str, Any]) -> str:
    wins = f"{c['wins']:g} of {c['problems']} ({c['interval'][0]:.2f} to {c['interval'][1]:.2f})"
    known = c["difference"] is not None and c["half_width"] is not None
    return f"{wins} | {c['difference']:+.3f} +- {c['half_width']:.3f}" if known else f"{wins} | unknown"


def _log_ratio(mine: float | None, theirs: float | None) -> str:
    return "diverged" if mine is None else f"{math.log(mine / theirs):+.3f}" if theirs else "unknown"


def _plain(value: Any) -> Any:
    """Numbers that JSON does not know become null."""
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def draw_problems(results: dict[str, Curves], metric: str, steps: Sequence[int], rival: str = "adam") -> Figure:
    """A row a problem: the learned optimizer beside ``rival`` at its best rate for that problem and step.

    Left of zero is better for a loss, right of it for a score.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8.0, 1.4 + 0.24 * len(results)), dpi=160, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.subplots()
    for column, step in enumerate(steps):
        gaps = []
        for curves in results.values():
            mine, theirs = (best_setting(curves[who][metric], metric)[column] for who in ("learned", rival))
            gaps.append(math.log(mine / theirs) if metric == "train_loss" else 100 * (mine - theirs))
        rows = np.arange(len(results)) + 0.22 * (column - (len(steps) - 1) / 2)
        axes.plot(gaps, rows, "osD^v"[column % 5], color=_COLOURS[column % 5], markersize=4.5, label=f"{step} steps")
    axes.axvline(0.0, color="#555555", linewidth=1.0)
    axes.set_yticks(np.arange(len(results)), list(results), fontsize=8)
    axes.invert_yaxis()
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#dddddd", linewidth=0.7)
    axes.set_axisbelow(True)
    if metric == "train_loss":
        axes.set_xlabel(f"ln(training loss / {rival}'s at its best rate)\nleft is better", fontsize=9)
    else:
        axes.set_xlabel(f"validation accuracy, points above {rival}'s at its best rate\nright is better", fontsize=9)
    figure.legend(loc="outside upper right", ncols=len(steps), frameon=False, fontsize=9)
    return figure
