"""Trains architectures, seeds batched together, and measures their cost."""

from metabench.training.cost import Cost, count_cost, measure_cost
from metabench.training.train import METRICS, TrainingCurve, train, train_group

__all__ = ["METRICS", "Cost", "TrainingCurve", "count_cost", "measure_cost", "train", "train_group"]
