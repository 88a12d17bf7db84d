"""Meta-training of learned optimizers: four estimators of the meta-gradient, and the loop around them."""

from metabench.learned.meta_training.backpropagation import TruncatedBackpropagation
from metabench.learned.meta_training.noise_reuse import NoiseReuseES
from metabench.learned.meta_training.pes import PersistentES
from metabench.learned.meta_training.recipe import ESTIMATORS, RECIPES, Recipe, find_recipe
from metabench.learned.meta_training.trainer import MetaTrainingResult, meta_train
from metabench.learned.meta_training.truncated_es import TruncatedES

__all__ = [
    "ESTIMATORS",
    "RECIPES",
    "MetaTrainingResult",
    "NoiseReuseES",
    "PersistentES",
    "Recipe",
    "TruncatedBackpropagation",
    "TruncatedES",
    "find_recipe",
    "meta_train",
]
