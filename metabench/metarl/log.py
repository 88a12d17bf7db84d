"""Metrics of a run: JSONL always, TensorBoard as an extra."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from metabench.errors import CheckpointError, OptionalDependencyError
from metabench.files import replace_file

__all__ = ["MetricsLog", "read_metrics"]


class MetricsLog:
    """Means of each metric over the updates since the last line.

    ``metrics.jsonl`` holds nothing that depends on the machine's speed, so that two runs of a plan are equal to the
    byte; the clock goes to ``timing.jsonl``.

    Args:
        folder: where the files are.
        keep: lines of updates after this one are dropped: a resumed run writes them again.
        frames: those that these updates took.
        tensorboard: whether to write event files as well.

    Raises:
        OptionalDependencyError: if TensorBoard is asked for and not installed.
    """

    def __init__(self, folder: Path, keep: int, frames: int, *, tensorboard: bool = False) -> None:
        self.path, self.timing = folder / "metrics.jsonl", folder / "timing.jsonl"
        for path in (self.path, self.timing):
            _shorten(path, keep)
        self._pending: dict[str, list[float]] = {}
        self._writer = _writer(folder / "tensorboard", frames) if tensorboard else None

    def close(self) -> None:
        """Writes out what TensorBoard's writer still holds."""
        if self._writer is not None:
            self._writer.close()

    def add(self, metrics: Mapping[str, float]) -> None:
        """Takes one update's metrics."""
        for name, value in metrics.items():
            self._pending.setdefault(name, []).append(value)

    def write(self, update: int, frames: int, extra: Mapping[str, float], timing: Mapping[str, float]) -> None:
        """Writes a line: the means of what was added since the last one, and ``extra``."""
        means = {name: sum(values) / len(values) for name, values in self._pending.items()}
        self._pending.clear()
        place = {"update": update, "frames": frames}
        for path, values in ((self.path, {**means, **extra}), (self.timing, timing)):
            with path.open("a", encoding="utf-8") as file:
                file.write(json.dumps({**place, **values}) + "\n")
        if self._writer is not None:
            for name, value in {**means, **extra, **timing}.items():
                self._writer.add_scalar(name, value, frames)


def read_metrics(folder: Path) -> list[dict[str, Any]]:
    """The lines of a run's ``metrics.jsonl``.

    Raises:
        CheckpointError: if a line cannot be read.
    """
    path = folder / "metrics.jsonl"
    if not path.is_file():
        return []
    try:
        return [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
    except ValueError as error:
        raise CheckpointError(f"{path} is damaged ({error}); resume the run to mend it.") from error


def _shorten(path: Path, keep: int) -> None:
    """Drops what comes after an update, a line that was cut off, too."""
    if not path.is_file():
        return
    kept = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            if json.loads(line)["update"] > keep:
                break
        except (ValueError, KeyError, TypeError):
            break
        kept.append(f"{line}\n")
    replace_file(path, "".join(kept))


def _writer(folder: Path, frames: int) -> Any:
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError as error:
        raise OptionalDependencyError("TensorBoard is not installed; pip install 'metabench[tensorboard]'.") from error
    return SummaryWriter(str(folder), purge_step=frames + 1 if frames else None)
