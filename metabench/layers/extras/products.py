"""Vector-Jacobian products of a map that acts on each sample separately."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import torch
from torch import Tensor

from metabench.errors import ArgumentError, DifferentiationError
from metabench.layers.transforms import under_transform

__all__ = ["Linearisation", "Noise", "differentiable_point", "linearise", "probe_vectors"]

Noise = Literal["rademacher", "gaussian"]


def probe_vectors(z: Tensor, generator: torch.Generator, samples: int = 1, noise: Noise = "rademacher") -> Tensor:
    """Random vectors of mean zero and identity covariance.

    Args:
        z: gives shape, dtype and device, ``(..., dim)``.
        generator: where the draws come from.
        samples: independent vectors for each sample.
        noise: ``"rademacher"`` (signs) or ``"gaussian"``.

    Returns:
        ``(samples, ..., dim)``.

    Raises:
        ArgumentError: if ``samples`` is under 1 or ``noise`` is unknown.
    """
    if samples < 1:
        raise ArgumentError(f"samples={samples}: expected at least 1.")
    if noise not in get_args(Noise):
        raise ArgumentError(f"unknown noise {noise!r}; expected 'rademacher' or 'gaussian'.")
    shape = (samples, *z.shape)
    if noise == "gaussian":
        return torch.randn(shape, generator=generator, dtype=z.dtype, device=generator.device).to(z.device)
    signs = torch.randint(0, 2, shape, generator=generator, device=generator.device)
    return (2 * signs - 1).to(device=z.device, dtype=z.dtype)


class Linearisation:
    """A map's value at a point and the products u -> J^T u there, sample by sample.

    Attributes:
        point: where the map was evaluated, ``(..., dim)``.
        image: its value, ``(..., dim)``, with a graph.
        recorded: whether products are themselves differentiable.
    """

    def __init__(self, point: Tensor, image: Tensor, recorded: bool) -> None:
        self.point, self.image, self.recorded = point, image, recorded

    def pull_back(self, u: Tensor) -> Tensor:
        """J^T u for ``u`` ``(..., dim)``, of the point's shape."""
        if not self.image.requires_grad:
            return torch.zeros_like(self.point)
        (product,) = torch.autograd.grad(
            self.image, self.point, u, retain_graph=True, create_graph=self.recorded, materialize_grads=True
        )
        return product


def differentiable_point(z: Tensor) -> tuple[Tensor, bool]:
    """A copy of ``z`` (sharing memory) to take derivatives at, and whether they are to be differentiable themselves.

    What else was computed from ``z`` does not depend on the copy, so derivatives at it are partial ones.

    Raises:
        DifferentiationError: inside ``torch.func`` transforms.
    """
    if under_transform():
        raise DifferentiationError(
            "derivatives of a field inside torch.func transforms are not available; use torch.autograd.grad outside."
        )
    recorded = torch.is_grad_enabled()
    with torch.enable_grad():
        return (z.view_as(z) if recorded and z.requires_grad else z.detach().requires_grad_()), recorded


def linearise(f: Callable[[Tensor], Tensor], z: Tensor) -> Linearisation:
    """Evaluates ``f`` once at ``z``, ready for vector-Jacobian products.

    The products hold whatever ``f`` closes over fixed, even where that depends on ``z``. They are differentiable with
    respect to all of it if gradients are being recorded where this is called.

    Args:
        f: map ``(..., dim) -> (..., dim)`` acting on each sample separately.
        z: the point, ``(..., dim)``.

    Raises:
        ArgumentError: if ``f`` returns another shape.
        DifferentiationError: inside ``torch.func`` transforms.
    """
    point, recorded = differentiable_point(z)
    with torch.enable_grad():
        image = f(point)
    if image.shape != z.shape:
        raise ArgumentError(f"f returned {tuple(image.shape)} for a state {tuple(z.shape)}; expected the same.")
    return Linearisation(point, image, recorded)
