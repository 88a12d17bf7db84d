"""Learning curves, ways walked, and for grid worlds where the agent went and what it believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from metabench.envs import TrialVectorEnv
from metabench.envs.pictures import Trajectory, draw_paths, has_plane
from metabench.metarl.agent import Agent, Rollout
from metabench.metarl.rollout import collect

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from metabench.envs import Layout, Reference

__all__ = [
    "PlayedTrials",
    "play_trials",
    "save_belief_figure",
    "save_learning_figure",
    "save_path_figure",
    "save_visit_figure",
]

_COLOURS = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#E69F00", "#56B4E9")  # Okabe and Ito (2008)


def save_learning_figure(
    runs: Sequence[Sequence[Mapping[str, Any]]], title: str, reference: Reference | None, path: Path
) -> None:
    """Draws the return of each episode against environment steps: the mean over seeds and each seed, thinly.

    Args:
        runs: one list of metric lines a seed.
        title: of the figure.
        reference: its best policy's returns are dashed lines; None draws none.
        path: PNG to write.
    """
    figure, (axes,) = _figure(1, (6.4, 4.0))
    evaluated = [[line for line in run if "charts/eval_return" in line] for run in runs]
    names = sorted(
        {name for run in evaluated for line in run for name in line if name.startswith("return_avg_per_frame/")},
        key=lambda name: int(name.rpartition("_")[2]),
    )
    for number, name in enumerate(names):
        colour = _COLOURS[number % len(_COLOURS)]
        curves = [
            (np.array([line["frames"] for line in run]), np.array([line[name] for line in run])) for run in evaluated
        ]
        length = min(len(values) for _, values in curves)
        for frames, values in curves:
            axes.plot(frames, values, color=colour, alpha=0.3, linewidth=0.7)
        mean = np.mean([values[:length] for _, values in curves], axis=0)
        axes.plot(curves[0][0][:length], mean, color=colour, linewidth=1.8, label=f"episode {name.rpartition('_')[2]}")
    if reference is not None:
        best = reference.returns[reference.unit]
        for number, value in enumerate(best if isinstance(best, tuple) else (best,)):
            axes.axhline(value, color=_COLOURS[number % len(_COLOURS)], linestyle=(0, (5, 3)), linewidth=0.9)
        axes.text(
            0.99, 0.02, f"dashed: {reference.unit}", transform=axes.transAxes, ha="right", fontsize=8, color="#555555"
        )
    axes.set_xlabel("Environment steps")
    axes.set_ylabel("Return of the episode")
    axes.legend(frameon=False, fontsize=8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(True, color="#dddddd", linewidth=0.7)
    axes.set_title(f"{title}: {len(runs)} {'seeds' if len(runs) > 1 else 'seed'}", loc="left", fontsize=10)
    figure.savefig(path, metadata={"Software": None})


class PlayedTrials(NamedTuple):
    """One trial in every copy, as it is drawn: the tasks, and what the agent's likeliest actions led to."""

    tasks: Tensor
    rollout: Rollout


def play_trials(agent: Agent, env: TrialVectorEnv, seed: int) -> PlayedTrials:
    """Plays one for all figures."""
    env.reset_tensor(seed=seed)
    return PlayedTrials(env.tasks.clone(), collect(env, agent, seed=seed, deterministic=True))


def save_path_figure(agent: Agent, env: TrialVectorEnv, played: PlayedTrials, path: Path, tasks: int = 6) -> bool:
    """Draws the ways walked in the first copies' trials.

    Returns:
        Whether there is a figure: only for grid worlds and points in the plane.
    """
    if not has_plane(env):
        return False
    steps, trajectories = played.rollout.trajectories, []
    for copy, task in enumerate(played.tasks[:tasks]):
        obs, actions, rewards, reached = (
            part[:, copy].unflatten(0, (env.episodes, env.horizon))
            for part in (steps.obs, steps.action, steps.reward, steps.next_obs)
        )
        trajectories.append(Trajectory(task, torch.cat([obs[:, :1], reached], 1), actions, rewards))
    figure = draw_paths(env, trajectories)
    figure.suptitle("Ways walked, with the return of the episode", fontsize=10)
    figure.savefig(path, dpi=150, metadata={"Software": None})
    return True


def save_visit_figure(agent: Agent, env: TrialVectorEnv, played: PlayedTrials, path: Path) -> bool:
    """Draws, for each episode, how often each cell was reached, over all copies.

    Returns:
        Whether there is a figure: only for grid worlds.
    """
    layout = agent.problem.layout
    if layout is None:
        return False
    cells = layout.cell_of(played.rollout.trajectories.next_obs).view(env.episodes, -1)
    figure, panels = _cell_figure(env.episodes, layout, 1.9)
    for k, axes in enumerate(panels):
        share = torch.bincount(cells[k], minlength=len(layout.cells)) / cells.shape[1]
        _draw_cells(axes, layout, share.numpy(), float(share.max()))
        axes.set_title(f"episode {k + 1}", fontsize=9)
    figure.suptitle("Share of steps spent in each cell", fontsize=10)
    figure.savefig(path, metadata={"Software": None})
    return True


def save_belief_figure(agent: Agent, env: TrialVectorEnv, played: PlayedTrials, path: Path, panels: int = 8) -> bool:
    """Draws the first copy's trial: the decoded probability of reward in each cell, and the way walked so far.

    Returns:
        Whether there is a figure: only for grid worlds and agents that decode their belief cell by cell.
    """
    layout, decode = agent.problem.layout, getattr(agent, "cell_probabilities", None)
    if layout is None or decode is None:
        return False
    rollout = played.rollout
    with torch.no_grad():
        probabilities = decode(rollout.contexts[:, 0])
    if probabilities is None:
        return False
    walked = rollout.trajectories.obs[:, 0].numpy(), rollout.trajectories.next_obs[:, 0].numpy()
    times = np.unique(np.linspace(0, min(2 * env.horizon, env.steps), panels).astype(int))
    figure, shown = _cell_figure(len(times), layout, 1.6)
    for t, axes in zip(times, shown, strict=True):
        most = float(probabilities[t].max())
        _draw_cells(axes, layout, probabilities[t].numpy(), most)
        begin = env.horizon * ((max(int(t), 1) - 1) // env.horizon)
        if t:
            way = np.concatenate([walked[0][begin : begin + 1], walked[1][begin:t]])
            axes.plot(way[:, 0], way[:, 1], color="#D55E00", linewidth=1.5, marker="o", markersize=2.5)
        axes.set_title(f"step {t}, darkest {most:.2f}", fontsize=8)
    figure.suptitle(
        "Decoded probability that a step onto each cell pays, and the way walked in the episode", fontsize=10
    )
    figure.savefig(path, metadata={"Software": None})
    return True


def _figure(panels: int, size: tuple[float, float]) -> tuple[Figure, list[Axes]]:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, dpi=150, layout="constrained")
    FigureCanvasAgg(figure)
    return figure, list(figure.subplots(1, panels, squeeze=False)[0])


def _cell_figure(panels: int, layout: Layout, side: float) -> tuple[Figure, list[Axes]]:
    """Panels of a layout's shape and of a square's area, ``side`` inches wide if it is one, with room for titles."""
    wide = (layout.width / layout.height) ** 0.5
    return _figure(panels, (side * wide * panels + 0.8, side / wide + 0.75))


def _draw_cells(axes: Axes, layout: Layout, values: np.ndarray, most: float) -> None:
    picture = np.full((layout.height, layout.width), np.nan)
    for (x, y), value in zip(layout.cells, values, strict=True):
        picture[y, x] = value
    axes.set_facecolor("#bbbbbb")  # walls
    axes.imshow(picture, origin="lower", cmap="Blues", vmin=0.0, vmax=most or 1.0)
    axes.set_xticks([])
    axes.set_yticks([])
