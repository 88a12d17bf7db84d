"""Which problems optimizers are meta-trained on, chosen by, and judged on: the last share no block and no task."""

from __future__ import annotations

from itertools import product

from metabench.problems.classification import ArchitectureProblem, PerceptronProblem
from metabench.problems.problem import Problem
from metabench.problems.quadratic import Quadratic

__all__ = [
    "HELD_OUT_BLOCKS",
    "HELD_OUT_TASKS",
    "TRAINING_BLOCKS",
    "TRAINING_TASKS",
    "VALIDATION_BLOCKS",
    "held_out_problems",
    "shifted_problems",
    "training_problems",
    "validation_problems",
]

TRAINING_BLOCKS = ("mlp.residual", "mlp.tied", "mlp.deq", "gated.residual", "qp.box")
VALIDATION_BLOCKS = ("gated.ode",)
HELD_OUT_BLOCKS = ("mlp.ode", "gated.tied", "gated.deq", "mlp.deq-monotone", "mlp.ode-antisymmetric", "qp.simplex")
TRAINING_TASKS = ("mnist1d-v1", "annuli-v1", "pendulum-v1")
HELD_OUT_TASKS = ("letter-v1", "spirals-v1")

_PAIRS = (("mlp.deq", "mlp.residual"),)
_VALIDATION_PAIRS = (("gated.ode", "mlp.tied"), ("qp.box", "gated.residual"))
_HELD_OUT_PAIRS = (
    ("gated.deq", "mlp.ode"),
    ("qp.simplex", "gated.tied"),
    ("mlp.deq-monotone", "mlp.ode-antisymmetric"),
)


def training_problems() -> tuple[Problem, ...]:
    """Quadratics, perceptrons and architectures of training blocks, on training tasks."""
    perceptrons = [
        PerceptronProblem(task=task, hidden=hidden, activation=activation)
        for task in TRAINING_TASKS
        for hidden, activation in (((32,), "relu"), ((32, 32), "tanh"))
    ]
    stacks = [*((block,) for block in TRAINING_BLOCKS), *_PAIRS]
    architectures = [
        ArchitectureProblem(task=task, architecture=",".join(stack)) for stack, task in product(stacks, TRAINING_TASKS)
    ]
    return (Quadratic(10), *perceptrons, *architectures)


def validation_problems() -> tuple[Problem, ...]:
    """What recipes are chosen by: another block, other pairs of blocks, on training tasks."""
    stacks = [*((block,) for block in VALIDATION_BLOCKS), *_VALIDATION_PAIRS]
    return tuple(
        ArchitectureProblem(task=task, architecture=",".join(stack)) for stack, task in product(stacks, TRAINING_TASKS)
    )


def held_out_problems() -> tuple[Problem, ...]:
    """Architectures of held-out blocks on held-out tasks, one and two blocks deep."""
    stacks = [*((block,) for block in HELD_OUT_BLOCKS), *_HELD_OUT_PAIRS]
    return tuple(
        ArchitectureProblem(task=task, architecture=",".join(stack), held_out=True)
        for task, stack in product(HELD_OUT_TASKS, stacks)
    )


def shifted_problems() -> tuple[Problem, ...]:
    """Where a learned optimizer may fail: other widths, and a perceptron, on held-out tasks."""
    wide = [
        ArchitectureProblem(task=task, architecture="gated.tied", width=width, held_out=True)
        for task in HELD_OUT_TASKS
        for width in (8, 128)
    ]
    return (*wide, PerceptronProblem(task="letter-v1", hidden=(128, 128), held_out=True))
