"""The monotone equilibrium: a parametrisation of z = relu(W z + x) whose equilibrium exists and is unique."""

from __future__ import annotations

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.argmin.inclusion import Splitting, monotone_inclusion
from metabench.layers.argmin.sets import Orthant
from metabench.layers.fixed_point import FixedPointSolver
from metabench.layers.record import Policy, Solution
from metabench.layers.stopping import Tolerance

__all__ = ["monotone_equilibrium", "monotone_weight"]


def monotone_weight(A: Tensor, B: Tensor, modulus: float) -> Tensor:
    """W = (1 - m) I - A^T A + B - B^T: whatever A and B are, the symmetric part of I - W is at least m I.

    Args:
        A: ``(..., rows, dim)``.
        B: ``(..., dim, dim)``; only its antisymmetric part counts.
        modulus: m, positive.

    Raises:
        ArgumentError: if the shapes do not fit or ``modulus`` is not positive.

    Reference: Winston and Kolter (2020), arXiv:2006.08591, proposition 1.
    """
    if B.ndim < 2 or B.shape[-1] != B.shape[-2] or A.ndim < 2 or A.shape[-1] != B.shape[-1]:
        raise ArgumentError(
            f"A has shape {tuple(A.shape)} and B {tuple(B.shape)}; expected (..., rows, dim) and (..., dim, dim)."
        )
    if not modulus > 0:
        raise ArgumentError(f"modulus={modulus}: expected a positive number.")
    eye = torch.eye(B.shape[-1], dtype=B.dtype, device=B.device)
    return (1 - modulus) * eye - A.mT @ A + B - B.mT


def monotone_equilibrium(
    A: Tensor,
    B: Tensor,
    x: Tensor,
    *,
    modulus: float = 0.5,
    splitting: Splitting = "peaceman-rachford",
    solver: FixedPointSolver | None = None,
    stopping: Tolerance | None = None,
    policy: Policy = "warn",
) -> Solution:
    """z* = relu(W z* + x) with W of :func:`monotone_weight`, and the exact gradient to ``A``, ``B`` and ``x``.

    Args:
        A: ``(..., rows, dim)``, shared by the samples.
        B: ``(..., dim, dim)``, shared by the samples.
        x: injections ``(..., batch, dim)``.
        modulus: m; the smaller it is, the more W can do and the longer a solve takes.
        splitting: as for :func:`~metabench.layers.monotone_inclusion`; both converge for every A and B.
        solver: as for :func:`~metabench.layers.monotone_inclusion`.
        stopping: per-sample tolerance, forward and backward.
        policy: what to do with samples that do not converge.

    Raises:
        ArgumentError: if the shapes do not fit or ``modulus`` is not positive.

    Reference: Winston and Kolter (2020), arXiv:2006.08591.
    """
    W = monotone_weight(A, B, modulus)
    eye = torch.eye(W.shape[-1], dtype=W.dtype, device=W.device)
    return monotone_inclusion(
        eye - W, x, Orthant(), modulus=modulus, splitting=splitting, solver=solver, stopping=stopping, policy=policy
    )
