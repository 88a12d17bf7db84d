"""Where a joint benchmark's numbers come from: a fitted surrogate, or training now."""

from __future__ import annotations

from abc import ABC, abstractmethod
from pathlib import Path

import numpy as np

from metabench.datasets.task import Task
from metabench.errors import TableError
from metabench.spaces.joint import JointSpace
from metabench.surrogate import load_surrogate
from metabench.tables.fitted import METRICS as FITTED
from metabench.tables.fitted import REPLICATES
from metabench.tables.joint_data import hyperparameter_names, stage_blocks, surrogate_inputs
from metabench.tables.result import ARCHITECTURE_METRICS, METRICS

__all__ = ["JointLive", "JointSource", "JointSurrogate"]

_LAST = len(FITTED)  # the costs come behind what is measured at an epoch


class JointSource(ABC):
    """Gives the numbers of configurations.

    Attributes:
        seeds: replicates.
    """

    seeds: tuple[int, ...]

    @abstractmethod
    def numbers(self, codes: np.ndarray, place: int, seed: int | str, columns: list[int]) -> np.ndarray:
        """Some metrics of some configurations at one epoch.

        Args:
            codes: canonical codes ``(n,)``.
            place: index of the epoch.
            seed: a replicate, or ``"mean"``.
            columns: indices into ``METRICS``.

        Returns:
            float32 ``(n, len(columns))``.
        """


class JointSurrogate(JointSource):
    """Predicts; ``"mean"`` is the prediction, a seed a noisy draw around it, the same whenever it is asked for."""

    def __init__(self, place: Path, space: JointSpace, task: Task) -> None:
        self._surrogate = surrogate = load_surrogate(place)
        axes = (surrogate.blocks, surrogate.hyperparameters, surrogate.epochs, surrogate.metrics, surrogate.cost_names)
        if axes != (stage_blocks(space), hyperparameter_names(space), task.epochs, FITTED, ARCHITECTURE_METRICS):
            raise TableError(f"{place}: fitted to another {space.id!r} or {task.id!r}; fit the surrogate again.")
        self.seeds = tuple(range(REPLICATES))
        self._space = space

    def numbers(self, codes: np.ndarray, place: int, seed: int | str, columns: list[int]) -> np.ndarray:
        """Predicts what is asked for and no more; a replicate's luck lasts over epochs and metrics, so it needs all."""
        digits, hyperparameters, widths = surrogate_inputs(self._space, codes)
        out = np.empty((len(codes), len(columns)), dtype=np.float32)
        fitted = [i for i, column in enumerate(columns) if column < _LAST]
        if fitted and seed == "mean":
            names = tuple(METRICS[columns[i]] for i in fitted)
            found = self._surrogate.predict(
                digits, hyperparameters=hyperparameters, epochs=[place], metrics=names, noise=False
            )
            out[:, fitted] = found.mean()[:, 0]
        elif fitted:
            found = self._surrogate.predict(digits, hyperparameters=hyperparameters)
            values = self._surrogate.replicate(found, codes, int(seed)) if len(codes) else found.mean()
            out[:, fitted] = values[:, place][:, [columns[i] for i in fitted]]
        counted = [i for i, column in enumerate(columns) if column >= _LAST]
        if counted:
            costs = self._surrogate.predict_costs(digits, hyperparameters=hyperparameters, widths=widths)
            out[:, counted] = costs[:, [columns[i] - _LAST for i in counted]]
        return out


class JointLive(JointSource):
    """Trains a configuration when it is asked for, all seeds together, and remembers it for this process."""

    def __init__(self, space: JointSpace, task: Task, seeds: tuple[int, ...] = (0, 1, 2)) -> None:
        self.seeds = seeds
        self._space, self._task = space, task
        self._known: dict[int, np.ndarray] = {}  # code -> (seeds, epochs, metrics)

    def numbers(self, codes: np.ndarray, place: int, seed: int | str, columns: list[int]) -> np.ndarray:
        """Trains what has not been trained yet."""
        rows = np.stack([self._trained(code)[:, place][:, columns] for code in codes.tolist()] or [np.empty((1, 0))])
        if not len(codes):
            return np.empty((0, len(columns)), dtype=np.float32)
        return (rows.mean(axis=1) if seed == "mean" else rows[:, self.seeds.index(int(seed))]).astype(np.float32)

    def _trained(self, code: int) -> np.ndarray:
        found = self._known.get(code)
        if found is None:
            from metabench.tables.joint_units import JointUnit, run_joint_unit

            shard = run_joint_unit(JointUnit((self._space.architecture(code),), self._task, self.seeds))
            costs = np.broadcast_to(shard.cost[0], (*shard.seconds.shape[1:], shard.cost.shape[1]))
            found = np.concatenate([shard.values[0], shard.seconds[0][..., None], costs], axis=-1)
            self._known[code] = found
        return found
