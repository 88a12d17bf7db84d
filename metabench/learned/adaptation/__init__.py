"""Gradient-based meta-learning: MAML, ANIL, Meta-SGD and Reptile, for any module, batched over problems."""

from metabench.learned.adaptation.anil import ANIL
from metabench.learned.adaptation.losses import BatchedLoss
from metabench.learned.adaptation.maml import MAML
from metabench.learned.adaptation.meta_learner import MetaLearner
from metabench.learned.adaptation.meta_sgd import MetaSGD
from metabench.learned.adaptation.reptile import Reptile

__all__ = ["ANIL", "MAML", "BatchedLoss", "MetaLearner", "MetaSGD", "Reptile"]
