"""Continuous normalizing flows: a density carried along an ODE."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.extras.integrals import Integrand, solve_with_integrals
from metabench.layers.extras.products import probe_vectors
from metabench.layers.extras.trace import trace_by_basis, trace_by_probes
from metabench.layers.ode.layer import ode_solve
from metabench.layers.ode.solver import ODESolver, VectorField
from metabench.layers.record import Policy, Solution

__all__ = ["ContinuousFlow"]


@dataclass(frozen=True)
class ContinuousFlow:
    """The law of z(t1) where dz/dt = f(t, z) and z(t0) is standard normal.

    Along a path, d log p(z(t)) / dt = -tr(df/dz).

    Attributes:
        field: vector field ``f(t, z)``, ``(..., dim) -> (..., dim)``, acting on each sample separately.
        dim: dimension of the data.
        t0: time of the normal law.
        t1: time of the data.
        solver: how to integrate; the default of ``ode_solve`` if None. Its error is also the error of the density.
        trace: ``"exact"``, ``dim`` products an evaluation, or ``"hutchinson"``, one product with signs that are drawn
            once a solve; the log-density is then unbiased.
        policy: what to do with samples whose solve fails.

    Reference: Chen et al. (2018), arXiv:1806.07366; Grathwohl et al. (2019), arXiv:1810.01367.
    """

    field: VectorField
    dim: int
    t0: float = 0.0
    t1: float = 1.0
    solver: ODESolver | None = None
    trace: Literal["exact", "hutchinson"] = "exact"
    policy: Policy = "warn"

    def __post_init__(self) -> None:
        if self.dim < 1:
            raise ArgumentError(f"dim={self.dim}: expected at least 1.")
        if self.trace not in ("exact", "hutchinson"):
            raise ArgumentError(f"unknown trace {self.trace!r}; expected 'exact' or 'hutchinson'.")
        if self.t0 == self.t1:
            raise ArgumentError(f"t0 = t1 = {self.t0}; expected two different times.")

    def normalize(self, x: Tensor, generator: torch.Generator | None = None) -> tuple[Solution, Tensor]:
        """Carries data to the normal law.

        Args:
            x: data ``(..., dim)``.
            generator: where the signs of ``trace="hutchinson"`` come from.

        Returns:
            z(t0) ``(..., dim)`` with its record, and log |det dz(t0)/dx| ``(...,)``.

        Raises:
            ArgumentError: if ``x`` is not ``(..., dim)`` or the generator is missing.
        """
        if x.ndim < 1 or x.shape[-1] != self.dim:
            raise ArgumentError(f"x has shape {tuple(x.shape)}; expected (..., {self.dim}).")
        solution, integrals = solve_with_integrals(
            self.field,
            x,
            [self._divergence(x, generator)],
            t0=self.t1,
            t1=self.t0,
            solver=self.solver,
            policy=self.policy,
        )
        return solution, integrals[..., 0]

    def log_prob(self, x: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Log-density of data ``(..., dim)`` in nats, ``(...,)``, differentiable; arguments as :meth:`normalize`.

        Raises:
            ArgumentError: if ``x`` is not ``(..., dim)`` or the generator is missing.
        """
        solution, log_determinant = self.normalize(x, generator)
        z = solution.value
        return log_determinant - 0.5 * (z.square().sum(-1) + self.dim * math.log(2 * math.pi))

    def generate(self, z: Tensor) -> Solution:
        """Carries draws of the normal law ``(..., dim)`` to data: the inverse of :meth:`normalize`."""
        return ode_solve(self.field, z, t0=self.t0, t1=self.t1, solver=self.solver, policy=self.policy)

    def sample(self, n: int, generator: torch.Generator, *, dtype: torch.dtype | None = None) -> Tensor:
        """Independent draws from the flow, ``(n, dim)``; differentiable with respect to the field's parameters.

        Raises:
            ArgumentError: if ``n`` is negative.
        """
        if n < 0:
            raise ArgumentError(f"n={n}: expected at least 0.")
        z = torch.randn(n, self.dim, generator=generator, dtype=dtype, device=generator.device)
        return self.generate(z).value

    def _divergence(self, x: Tensor, generator: torch.Generator | None) -> Integrand:
        if self.trace == "exact":
            return trace_by_basis
        if generator is None:
            raise ArgumentError("trace='hutchinson' draws random signs; pass generator=torch.Generator().")
        probes = probe_vectors(x, generator)
        return lambda linear: trace_by_probes(linear, probes)
