"""Objectives for learned optimizers and meta-learners: batched, named by seeds, split into training and held-out."""

from metabench.problems.binding import bind
from metabench.problems.classification import ArchitectureProblem, Classification, PerceptronProblem
from metabench.problems.collections import (
    held_out_problems,
    shifted_problems,
    training_problems,
    validation_problems,
)
from metabench.problems.polynomial import Parabola
from metabench.problems.problem import Parameters, Problem, draw_rows
from metabench.problems.quadratic import Quadratic

__all__ = [
    "ArchitectureProblem",
    "Classification",
    "Parabola",
    "Parameters",
    "PerceptronProblem",
    "Problem",
    "Quadratic",
    "bind",
    "draw_rows",
    "held_out_problems",
    "shifted_problems",
    "training_problems",
    "validation_problems",
]
