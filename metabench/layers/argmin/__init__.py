"""Optimisation layers: convex sets and their projections, quadratic programs, monotone inclusions."""

from metabench.layers.argmin.inclusion import monotone_inclusion, quadratic_program
from metabench.layers.argmin.projection import project, project_simplex
from metabench.layers.argmin.sets import Box, ConvexSet, Orthant, Simplex

__all__ = [
    "Box",
    "ConvexSet",
    "Orthant",
    "Simplex",
    "all_sets",
    "monotone_inclusion",
    "project",
    "project_simplex",
    "quadratic_program",
]

all_sets = (Box, Orthant, Simplex)
