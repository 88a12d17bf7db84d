"""Penalty on the Jacobian of an equilibrium layer."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from metabench.layers.extras.products import Linearisation, linearise, probe_vectors

__all__ = ["jacobian_norm", "squared_norm_by_probes"]


def squared_norm_by_probes(linear: Linearisation, probes: Tensor) -> Tensor:
    """Mean of ||J^T u||^2 / dim over ``probes`` ``(samples, ..., dim)``, an estimate of ||J||_F^2 / dim; ``(...,)``."""
    products = [linear.pull_back(u).square().mean(-1) for u in probes]
    return products[0] if len(products) == 1 else torch.stack(products).mean(0)


def jacobian_norm(f: Callable[[Tensor], Tensor], z: Tensor, generator: torch.Generator, samples: int = 1) -> Tensor:
    """Estimate of ||df/dz||_F^2 / dim for every sample; added to a loss, it keeps equilibria quick to find.

    Args:
        f: the map whose equilibrium ``z`` is, ``(..., dim) -> (..., dim)``, acting on each sample separately.
        z: the equilibrium, ``(..., dim)``; the penalty's gradient flows through it too unless it is detached.
        generator: where the Gaussian draws come from.
        samples: draws that are averaged.

    Returns:
        ``(...,)``, without bias, differentiable with respect to everything that ``f`` depends on.

    Raises:
        ArgumentError: if ``f`` returns another shape or ``samples`` is under 1.

    Reference: Bai, Koltun and Kolter (2021), arXiv:2106.14342.
    """
    return squared_norm_by_probes(linearise(f, z), probe_vectors(z, generator, samples, "gaussian"))
