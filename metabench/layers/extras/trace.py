"""The trace of a map's Jacobian, exact or by Hutchinson's estimator."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metabench.layers.extras.products import Linearisation, Noise, linearise, probe_vectors

__all__ = ["exact_trace", "hutchinson_trace", "trace_by_basis", "trace_by_probes"]


def trace_by_basis(linear: Linearisation) -> Tensor:
    """tr J, ``(...,)``, with one vector-Jacobian product for each of the ``dim`` coordinates."""
    total = torch.zeros_like(linear.point[..., 0])
    for i in range(linear.point.shape[-1]):
        unit = torch.zeros_like(linear.point)
        unit[..., i] = 1.0
        total = total + linear.pull_back(unit)[..., i]
    return total


def trace_by_probes(linear: Linearisation, probes: Tensor) -> Tensor:
    """Mean of u^T J u over the given ``probes`` ``(samples, ..., dim)``; shape ``(...,)``."""
    products = [torch.linalg.vecdot(linear.pull_back(u), u) for u in probes]
    return products[0] if len(products) == 1 else torch.stack(products).mean(0)


def exact_trace(f: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    """tr(df/dz) of every sample, at the cost of ``dim`` vector-Jacobian products.

    Args:
        f: map ``(..., dim) -> (..., dim)`` acting on each sample separately.
        z: where, ``(..., dim)``.

    Returns:
        ``(...,)``, differentiable with respect to ``z`` and everything that ``f`` depends on.

    Raises:
        ArgumentError: if ``f`` returns another shape.
    """
    return trace_by_basis(linearise(f, z))


def hutchinson_trace(
    f: Callable[[Tensor], Tensor],
    z: Tensor,
    generator: torch.Generator,
    samples: int = 1,
    noise: Noise = "rademacher",
) -> Tensor:
    """Unbiased estimate E[u^T (df/dz) u] of every sample's trace, at the cost of ``samples`` products.

    With S the symmetric part of the Jacobian, one draw has variance 2 (||S||_F^2 - sum_i S_ii^2) for signs and
    2 ||S||_F^2 for Gaussian draws.

    Args:
        f: map ``(..., dim) -> (..., dim)`` acting on each sample separately.
        z: where, ``(..., dim)``.
        generator: where the draws come from.
        samples: draws that are averaged.
        noise: ``"rademacher"`` or ``"gaussian"``.

    Returns:
        ``(...,)``, differentiable with respect to ``z`` and everything that ``f`` depends on.

    Raises:
        ArgumentError: if ``f`` returns another shape, ``samples`` is under 1 or ``noise`` is unknown.

    Reference: Hutchinson (1990), Commun. Stat. Simul. 19(2); Grathwohl et al. (2019), arXiv:1810.01367.
    """
    return trace_by_probes(linearise(f, z), probe_vectors(z, generator, samples, noise))
