"""Trajectory pictures: what one copy did in a trial."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from metabench.envs.bandit import Bandit
from metabench.envs.grid_navigation import GridNavigation
from metabench.envs.layout import Layout
from metabench.envs.room_navigation import RoomNavigation
from metabench.envs.sparse_point import SparsePoint
from metabench.envs.treasure_hunt import TreasureHunt
from metabench.envs.trial import TrialVectorEnv

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from metabench.envs.references.policy import ReferencePolicy

__all__ = ["Trajectory", "draw_paths", "draw_trajectory", "has_plane", "record_trajectory"]

_GOALS = ("#2e9650", "#de9b14", "#c8323c")


@dataclass(frozen=True)
class Trajectory:
    """What one copy did in a trial.

    Attributes:
        task: its task.
        obs: ``(E, H + 1, ...)``, each episode's first observation among them.
        actions: ``(E, H, ...)``.
        rewards: ``(E, H)``.
    """

    task: Tensor
    obs: Tensor
    actions: Tensor
    rewards: Tensor


def record_trajectory(policy: ReferencePolicy, env: TrialVectorEnv, *, copy: int = 0, seed: int = 0) -> Trajectory:
    """Runs one trial, as :func:`metabench.envs.references.run_trial` does, and keeps what one copy did."""
    from metabench.envs.references.policy import play_trial

    env.reset_tensor(seed=seed)
    task = env.tasks[copy].clone()
    seen, actions, rewards = [], [], []
    for step, (obs, action, transition) in enumerate(play_trial(policy, env, seed=seed)):
        if step % env.horizon == 0:
            seen.append([obs[copy]])
        seen[-1].append(transition.next_obs[copy])
        actions.append(action[copy])
        rewards.append(transition.reward[copy])
    shape = (env.episodes, env.horizon)
    return Trajectory(
        task,
        torch.stack([torch.stack(episode) for episode in seen]),
        torch.stack(actions).reshape(*shape, *actions[0].shape),
        torch.stack(rewards).reshape(shape),
    )


def draw_trajectory(env: TrialVectorEnv, trajectory: Trajectory) -> Figure:
    """One panel for each episode: the path in the plane where there is one, else states or arms over time."""
    from matplotlib.figure import Figure

    layout = env.family.layout
    wide = layout is not None and layout.width > 2 * layout.height
    flat = not has_plane(env)
    columns = 1 if wide or flat else env.episodes
    rows = env.episodes // columns
    size = (7.0, 2.2 * rows) if columns == 1 and (wide or flat) else (3.2 * columns, 3.5)
    figure = Figure(figsize=size, layout="constrained")
    axes = np.atleast_1d(np.asarray(figure.subplots(rows, columns), dtype=object)).reshape(-1)
    for episode, panel in enumerate(axes):
        if flat:
            _draw_over_time(panel, env, trajectory, episode)
        else:
            _draw_plane(panel, env, trajectory, episode)
        panel.set_title(f"episode {episode + 1}: return {float(trajectory.rewards[episode].sum()):.1f}", fontsize=9)
    return figure


def has_plane(env: TrialVectorEnv) -> bool:
    """Whether a trajectory is a path that can be drawn: in a grid world, or of a point."""
    return env.family.layout is not None or isinstance(env.family, TreasureHunt | SparsePoint)


def draw_paths(env: TrialVectorEnv, trajectories: Sequence[Trajectory]) -> Figure:
    """The paths of several trials, a panel for each episode of each; for environments that have a plane."""
    from matplotlib.figure import Figure

    layout, count = env.family.layout, env.episodes * len(trajectories)
    columns = env.episodes if env.episodes > 1 else min(3, count)
    rows = -(-count // columns)
    tall = 1.0 if layout is None else max(layout.height / layout.width, 0.4)
    figure = Figure(figsize=(2.4 * columns, (2.2 * tall + 0.3) * rows), layout="constrained")
    panels = np.asarray(figure.subplots(rows, columns, squeeze=False), dtype=object).reshape(-1)
    shown = [(trajectory, episode) for trajectory in trajectories for episode in range(env.episodes)]
    for panel, (trajectory, episode) in zip(panels, shown, strict=False):
        _draw_plane(panel, env, trajectory, episode)
        panel.set_title(f"episode {episode + 1}: {float(trajectory.rewards[episode].sum()):.1f}", fontsize=8)
    for panel in panels[count:]:
        panel.set_axis_off()
    return figure


def _draw_plane(panel: Axes, env: TrialVectorEnv, trajectory: Trajectory, episode: int) -> None:
    from matplotlib.patches import Circle

    family = env.family
    if family.layout is not None:
        _draw_floor(panel, family.layout)
    if isinstance(family, GridNavigation):
        goals, radius = [family.layout.cells[int(trajectory.task)]], 0.3
    elif isinstance(family, RoomNavigation):
        goals, radius = list(family.goals[int(trajectory.task)]), 0.3
    else:
        goals = [tuple(family.prepare(trajectory.task[None])[0].tolist())]
        radius = family.radius if isinstance(family, SparsePoint) else 0.1
        panel.add_patch(Circle((0, 0), 1.0, fill=False, color="0.8"))
        if isinstance(family, TreasureHunt):
            panel.add_patch(Circle((0, 0), 0.5, color="0.85"))
        panel.set(xlim=(-1.6, 1.6), ylim=(-1.6, 1.6))
    for goal, colour in zip(goals, _GOALS, strict=False):
        panel.add_patch(Circle(goal, radius, color=colour))
    path = trajectory.obs[episode, :, :2].double().cpu().numpy()
    if family.layout is not None:  # a little aside in turn, so that a way back does not hide the way there
        path = path + 0.12 * np.sin(np.linspace(0, 2 * np.pi, len(path)))[:, None] * np.array([1.0, -1.0])
    panel.plot(*path.T, color="#1f5ab4", linewidth=1.2, marker=".", markersize=3)
    panel.plot(*path[0], marker="o", color="#1f5ab4", markerfacecolor="white", markersize=7)
    panel.set_aspect("equal")
    panel.tick_params(labelsize=7)


def _draw_floor(panel: Axes, layout: Layout) -> None:
    from matplotlib.patches import Rectangle

    for x, y in layout.cells:
        panel.add_patch(Rectangle((x - 0.5, y - 0.5), 1, 1, facecolor="white", edgecolor="0.8", linewidth=0.6))
    panel.set(xlim=(-0.6, layout.width - 0.4), ylim=(-0.6, layout.height - 0.4), facecolor="0.45")


def _draw_over_time(panel: Axes, env: TrialVectorEnv, trajectory: Trajectory, episode: int) -> None:
    rewards = trajectory.rewards[episode].cpu().numpy()
    steps = np.arange(1, env.horizon + 1)
    if isinstance(env.family, Bandit):
        values, name = trajectory.actions[episode].cpu().numpy(), "arm"
        chances = trajectory.task.tolist()
        labels = [f"{i} (p = {p:.2f})" for i, p in enumerate(chances)]
    else:
        states = getattr(env.family, "states", trajectory.obs.shape[-1])
        values, name = trajectory.obs[episode, 1:, :states].argmax(-1).cpu().numpy(), "state"
        labels = [str(i) for i in range(states)]
    spread = max(float(np.abs(rewards).max()), 1e-9)
    dots = panel.scatter(steps, values, c=rewards, cmap="RdYlGn", vmin=-spread, vmax=spread, edgecolors="0.3", s=28)
    panel.figure.colorbar(dots, ax=panel, label="reward", pad=0.01)
    panel.set_yticks(range(len(labels)), labels)
    panel.set(xlabel="step", ylabel=name, ylim=(-0.6, len(labels) - 0.4))
    panel.tick_params(labelsize=7)
