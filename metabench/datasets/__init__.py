"""Tasks: definition -> arrays -> splits. Plug-ins: entry points ``metabench.datasets``."""

from metabench.datasets.splits import Splits, checksum, load_splits, make_splits
from metabench.datasets.task import DATASETS, Protocol, Task, load_task

__all__ = ["DATASETS", "Protocol", "Splits", "Task", "checksum", "load_splits", "load_task", "make_splits"]
