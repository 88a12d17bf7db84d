"""Penalties on an ODE layer's path, integrated with it: kinetic energy, Jacobian norm, random end time."""

from __future__ import annotations

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.extras.integrals import Integrand
from metabench.layers.extras.jacobian import squared_norm_by_probes
from metabench.layers.extras.products import Linearisation, probe_vectors

__all__ = ["jacobian_energy", "kinetic_energy", "random_end_time"]


def kinetic_energy(linear: Linearisation) -> Tensor:
    """Integrand ||f(t, z)||^2 / dim, ``(...,)``: the straighter and shorter the path, the less.

    Reference: Finlay et al. (2020), arXiv:2002.02798.
    """
    return linear.image.square().mean(-1)


def jacobian_energy(z0: Tensor, generator: torch.Generator, samples: int = 1) -> Integrand:
    """Integrand that estimates ||df/dz||_F^2 / dim without bias, with the same draws at all times of one solve.

    Args:
        z0: the state that will be integrated, ``(..., dim)``; gives shape, dtype and device.
        generator: where the Gaussian draws come from.
        samples: draws that are averaged.

    Raises:
        ArgumentError: if ``samples`` is under 1.

    Reference: Finlay et al. (2020), arXiv:2002.02798.
    """
    probes = probe_vectors(z0, generator, samples, "gaussian")
    return lambda linear: squared_norm_by_probes(linear, probes)


def random_end_time(t1: float, width: float, generator: torch.Generator, *, t0: float = 0.0) -> float:
    """Uniform draw from (t1 - width, t1 + width), for training only: dynamics that hold for all of them are less stiff.

    Args:
        t1: the nominal end time.
        width: half the interval's length, in units of time; 0 gives t1.
        generator: where the draw comes from.
        t0: the initial time.

    Raises:
        ArgumentError: if ``width`` is negative or the interval reaches ``t0``.

    Reference: Ghosh et al. (2020), arXiv:2006.10711.
    """
    if not 0 <= width < abs(t1 - t0):
        raise ArgumentError(f"width={width} with t0={t0}, t1={t1}: expected 0 <= width < |t1 - t0|.")
    uniform = torch.rand((), generator=generator, dtype=torch.float64, device=generator.device).item()
    return t1 + width * (2 * uniform - 1)
