"""The kit for convex sets with a projection."""

from __future__ import annotations

import dataclasses
from typing import Any

import torch
from torch import Tensor

from metabench.layers.argmin import ConvexSet, Polyhedron, project
from metabench.testing.requirement import (
    directional_error,
    normal,
    require,
    require_close,
    without_global_randomness,
)

__all__ = ["check_convex_set"]

_POINTS = 40


def check_convex_set(onto: ConvexSet, dim: int) -> None:
    """Checks that ``onto.project`` is the Euclidean projection onto a convex set, and its derivatives right.

    Idempotent; non-expansive; the angle condition (v - Pv) . (Pw - Pv) <= 0, which with the first says that Pv is the
    nearest point of the set; a Jacobian that is symmetric with eigenvalues in [0, 1], of a polyhedron 0 or 1; gradients
    to the point and to every number and tensor that describes the set, against central differences; samples that do
    not see each other, one of them NaN; dtypes and batches of none, one and several axes.

    Args:
        onto: an instance, its tensor fields without sample axes and in float64. Its numbers should be such that the
            projection has no kink in them: a total that puts every point on a vertex has no derivative.
        dim: dimension of the vectors, at least 1.

    Raises:
        ConformanceError: at the first property that fails.
    """
    require(
        isinstance(onto, ConvexSet), onto, "interface", "expected an instance of metabench.layers.argmin.ConvexSet."
    )
    with without_global_randomness(onto):
        for scale in (0.1, 1.0, 10.0):  # mostly inside a set of size about one, on its boundary, and far away
            _nearest_point(onto, scale * normal(_POINTS, dim, seed=0))
            _jacobian(onto, scale * normal(_POINTS, dim, seed=1))
        _gradients(onto, 2 * normal(6, dim, seed=2))
        _samples(onto, 2 * normal(6, dim, seed=3))


def _nearest_point(onto: ConvexSet, v: Tensor) -> None:
    copy = v.clone()
    z = onto.project(v)
    require(torch.equal(v, copy), onto, "tensors handed in", "v was written to.")
    scale = float(1 + v.abs().max())
    require_close(onto.project(z), z, onto, "idempotent", "projecting twice and once", rtol=0, atol=1e-10 * scale)
    distances = torch.linalg.vector_norm(z[:, None] - z, dim=-1) - torch.linalg.vector_norm(v[:, None] - v, dim=-1)
    require(
        distances.max() <= 1e-9 * scale,
        onto,
        "non-expansive",
        f"two projections are further apart than the points were, by {float(distances.max()):.3g}.",
    )
    # For each v (first axis) and each point of the set (second axis).
    angle = ((v - z)[:, None] * (z[None] - z[:, None])).sum(-1)
    require(
        angle.max() <= 1e-9 * scale**2,
        onto,
        "nearest point",
        f"(v - Pv) . (Pw - Pv) reaches {float(angle.max()):.3g}; where it is positive Pv is not the nearest point.",
    )


def _jacobian(onto: ConvexSet, v: Tensor) -> None:
    z, name = onto.project(v), "pull_back"
    a, b = normal(*v.shape, seed=4), normal(*v.shape, seed=5)
    kept = a.clone()
    along, other = onto.pull_back(v, z, a), onto.pull_back(v, z, b)
    require(torch.equal(a, kept), onto, "tensors handed in", "the gradient was written to.")
    message = "the product with a sum"
    require_close(onto.pull_back(v, z, a + 2 * b), along + 2 * other, onto, name, message, rtol=0, atol=1e-9)
    message = "<Ja, b> and <a, Jb>, equal for a symmetric J"
    require_close((along * b).sum(-1), (a * other).sum(-1), onto, name, message, rtol=0, atol=1e-9)
    if isinstance(onto, Polyhedron):
        message = "J(Ja) and Ja, equal for the projector on a face's directions"
        require_close(onto.pull_back(v, z, along), along, onto, name, message, rtol=0, atol=1e-9)
    excess = (along.square().sum(-1) - (along * a).sum(-1)).max()
    require(excess <= 1e-9, onto, name, f"|Ja|^2 exceeds <Ja, a> by {float(excess):.3g}; J has eigenvalues in [0, 1].")


def _gradients(onto: Any, v: Tensor) -> None:
    v.requires_grad_()
    cotangent = normal(*v.shape, seed=6)
    leaves: dict[str, Tensor] = {"v": v}
    for field, value in zip(dataclasses.fields(onto), onto.values, strict=True):
        leaf = torch.as_tensor(value, dtype=v.dtype).detach().clone()
        if bool(torch.isfinite(leaf).all()):  # an infinite bound cannot move
            leaves[field.name] = leaf.requires_grad_()
    described = dataclasses.replace(onto, **{name: leaf for name, leaf in leaves.items() if name != "v"})

    def loss() -> Tensor:
        return (project(v, described) * cotangent).sum()

    gradients = torch.autograd.grad(loss(), list(leaves.values()), allow_unused=True)
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        if gradient is None:
            require(False, onto, "gradient", f"metabench.layers.project gives none to {name}.")
            continue
        error = directional_error(loss, leaf, gradient, step=1e-6, seed=7)
        require(
            error < 1e-5,
            onto,
            "gradient",
            f"that of metabench.layers.project to {name} has a relative error of {error:.2g} against central "
            "differences.",
        )


def _samples(onto: Any, v: Tensor) -> None:
    z, name = onto.project(v), "independent samples"
    for i in range(len(v)):
        message = f"sample {i} alone and in a batch"
        require_close(onto.project(v[i]), z[i], onto, name, message, rtol=0, atol=1e-12)
    message = "sample axes (2, 3) against one"
    require_close(onto.project(v.view(2, 3, -1)).flatten(0, 1), z, onto, name, message, rtol=0, atol=1e-12)
    broken = v.clone()
    broken[1, 0] = float("nan")
    others = [0, 2, 3, 4, 5]
    message = "the others beside a NaN sample"
    require_close(onto.project(broken)[others], z[others], onto, name, message, rtol=0, atol=1e-12)
    require(onto.project(v[:0]).shape == v[:0].shape, onto, name, "an empty batch changes its shape.")
    tensors = {
        field.name: value.float()
        for field, value in zip(dataclasses.fields(onto), onto.values, strict=True)
        if isinstance(value, Tensor)
    }
    single = dataclasses.replace(onto, **tensors).project(v.float())
    require_close(single, z.float(), onto, "float32", "the projection in float32 and float64", rtol=1e-4, atol=1e-4)
