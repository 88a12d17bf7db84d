"""Optimisation layers: convex sets and their projections, quadratic programs, monotone inclusions."""

from metabench.layers.argmin.affine import AffineSet, Halfspace
from metabench.layers.argmin.balls import L1Ball, L2Ball
from metabench.layers.argmin.box_qp import BoxQPSolution, box_qp
from metabench.layers.argmin.convex_set import ConvexSet, Polyhedron
from metabench.layers.argmin.cvx import CvxLayer, CvxSolution, cvx_layer
from metabench.layers.argmin.inclusion import monotone_inclusion, quadratic_program
from metabench.layers.argmin.monotone import monotone_equilibrium, monotone_weight
from metabench.layers.argmin.projected_gradient import projected_gradient
from metabench.layers.argmin.projection import project, project_simplex, sparsemax
from metabench.layers.argmin.qp import QPSolution, dense_qp
from metabench.layers.argmin.sets import Box, CappedSimplex, Orthant, Simplex

__all__ = [
    "AffineSet",
    "Box",
    "BoxQPSolution",
    "CappedSimplex",
    "ConvexSet",
    "CvxLayer",
    "CvxSolution",
    "Halfspace",
    "L1Ball",
    "L2Ball",
    "Orthant",
    "Polyhedron",
    "QPSolution",
    "Simplex",
    "all_sets",
    "box_qp",
    "cvx_layer",
    "dense_qp",
    "monotone_equilibrium",
    "monotone_inclusion",
    "monotone_weight",
    "project",
    "project_simplex",
    "projected_gradient",
    "quadratic_program",
    "sparsemax",
]

all_sets = (Box, Orthant, Simplex, CappedSimplex, L1Ball, L2Ball, Halfspace, AffineSet)
