"""Trains one architecture, seeds batched together, and measures its cost."""

from metabench.training.cost import Cost, measure_cost
from metabench.training.train import METRICS, TrainingCurve, train

__all__ = ["METRICS", "Cost", "TrainingCurve", "measure_cost", "train"]
