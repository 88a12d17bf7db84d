"""Update rules, learned and hand-made, and how they become a ``torch.optim.Optimizer``."""

from metabench.learned.optimizers.hand_made import SGD, Adam, Momentum, RMSprop
from metabench.learned.optimizers.lstm import LSTMRule
from metabench.learned.optimizers.mlp import MLPRule
from metabench.learned.optimizers.rule import Parameters, State, UpdateRule, Weights
from metabench.learned.optimizers.torch_optimizer import LearnedOptimizer, OptimizerFactory
from metabench.learned.optimizers.weight_file import RULES, load_weights, save_weights, shipped

__all__ = [
    "RULES",
    "SGD",
    "Adam",
    "LSTMRule",
    "LearnedOptimizer",
    "MLPRule",
    "Momentum",
    "OptimizerFactory",
    "Parameters",
    "RMSprop",
    "State",
    "UpdateRule",
    "Weights",
    "load_weights",
    "save_weights",
    "shipped",
]
