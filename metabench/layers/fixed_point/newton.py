"""Newton's method with dense Jacobians."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.fixed_point.solver import FixedPointSolver, Map, Take
from metabench.layers.jacobian import jacobian

__all__ = ["Newton"]


@dataclass(frozen=True)
class Newton(FixedPointSolver):
    """z <- z + (I - df/dz)^-1 (f(z) - z), sample by sample: few steps, each of them dim products and an LU.

    For states of up to about a hundred dimensions. Every step evaluates f once more, with a graph.

    Attributes:
        damping: length of the step, in (0, 1].

    Reference: Nocedal and Wright (2006), Numerical optimization, section 11.1.
    """

    damping: float = 1.0

    def __post_init__(self) -> None:
        if not 0 < self.damping <= 1:
            raise ArgumentError(f"damping={self.damping}: expected a number in (0, 1].")

    def init(self, z: Tensor) -> None:
        """Newton's method has no memory."""

    def step(self, f: Map, z: Tensor, fz: Tensor, state: None) -> tuple[Tensor, None]:
        """One step; a plain one for a sample whose I - J is singular."""
        with torch.enable_grad():
            leaf = z.detach().requires_grad_()
            J = jacobian(f(leaf), leaf).detach()
        system = torch.eye(z.shape[-1], dtype=z.dtype, device=z.device) - J
        move, _ = torch.linalg.solve_ex(system, (fz - z)[..., None])
        proposal = torch.add(z, move[..., 0], alpha=self.damping)
        return torch.where(torch.isfinite(proposal).all(-1, keepdim=True), proposal, fz), None

    def select(self, state: None, take: Take) -> None:
        """Nothing to select."""
