"""The kit for convex sets passes on every set, and fails on what is wrong by construction."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from metabench.errors import ConformanceError
from metabench.layers.argmin import (
    AffineSet,
    Box,
    CappedSimplex,
    ConvexSet,
    Halfspace,
    L1Ball,
    L2Ball,
    Polyhedron,
    Simplex,
    all_sets,
)
from metabench.testing import check_convex_set


def made(kind: type[ConvexSet], dim: int) -> ConvexSet:
    """One of each kind, for vectors of the dimension."""
    row = torch.linspace(1.0, 2.0, dim, dtype=torch.float64)
    if kind is Halfspace:
        return Halfspace(row, 0.5)
    if kind is AffineSet:
        return AffineSet(row[None], torch.tensor([0.5], dtype=torch.float64))
    if kind is CappedSimplex:  # not a whole number: then z may be a vertex, where total has a derivative on each side
        return CappedSimplex(0.6 * dim)
    return kind()


@pytest.mark.parametrize("dim", [1, 2, 7])
@pytest.mark.parametrize("kind", all_sets)
def test_every_set_conforms(kind: type[ConvexSet], dim: int) -> None:
    check_convex_set(made(kind, dim), dim)


@pytest.mark.parametrize(
    "onto",
    [
        Box(0.0, 0.5),
        Box(torch.tensor([-1.0, -2.0, 0.0, -math.inf], dtype=torch.float64), math.inf),
        Simplex(2.5),
        CappedSimplex(2.5),
        L1Ball(0.3),
        L2Ball(3.0),
    ],
    ids=lambda onto: type(onto).__name__,
)
def test_other_settings_conform(onto: ConvexSet) -> None:
    check_convex_set(onto, 4)


@dataclass(frozen=True, eq=False)
class Wrong(Polyhedron):
    """The box [-1, 1]^d with the fault that a subclass names."""

    fault: ClassVar[str] = ""

    def project(self, v: Tensor) -> Tensor:
        if self.fault == "shrinks":  # not idempotent
            return 0.9 * v.clamp(-1, 1)
        if self.fault == "expands":  # onto the corners, which are not convex
            return torch.where(v >= 0, 1.0, -1.0).to(v.dtype)
        if self.fault == "radial":  # onto the box along the ray to the origin: feasible, idempotent, not the nearest
            return v / v.abs().amax(-1, keepdim=True).clamp_min(1.0)
        if self.fault == "batch":  # a bound that depends on whether there is a batch
            bound = 1.0 + 0.1 * (v.ndim == 1)
            return v.clamp(-bound, bound)
        if self.fault == "writes":
            return v.clamp_(-1, 1)
        if self.fault == "spreads":
            return (v + 0 * v.sum()).clamp(-1, 1)
        return v.clamp(-1, 1)

    def project_tangent(self, z: Tensor, v: Tensor) -> Tensor:
        inside = (z > -1) & (z < 1)
        if self.fault == "tangent":  # the projector of another face
            return v * ~inside
        if self.fault == "half":
            return 0.5 * v * inside
        if self.fault == "oblique":
            return v * inside if v.shape[-1] < 2 else torch.cat([v[..., :1] + v[..., 1:2], 0 * v[..., 1:]], dim=-1)
        return v * inside

    def parameter_gradients(self, v: Tensor, z: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
        return ()


def wrong(fault: str) -> ConvexSet:
    kind: Any = type("Wrong", (Wrong,), {"fault": fault})
    return kind()


@dataclass(frozen=True, eq=False)
class WrongRadius(L2Ball):
    """Half of the gradient to its radius."""

    def parameter_gradients(self, v: Tensor, z: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
        return tuple(0.5 * gradient for gradient in super().parameter_gradients(v, z, grad))


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("shrinks", r"\[idempotent\]"),
        ("expands", r"\[non-expansive\]"),
        ("radial", r"\[(non-expansive|nearest point)\]"),
        ("batch", r"\[independent samples\]: sample \d alone"),
        ("writes", r"\[tensors handed in\]"),
        ("spreads", r"\[independent samples\]: the others beside a NaN"),
        ("tangent", r"\[gradient\]"),
        ("half", r"\[pull_back\]: J\(Ja\) and Ja"),
        ("oblique", r"\[pull_back\]: <Ja, b>"),
    ],
)
def test_a_wrong_set_is_caught(fault: str, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        check_convex_set(wrong(fault), 4)


def test_wrong_is_wrong_by_its_fault_alone() -> None:
    check_convex_set(Wrong(), 4)
    with pytest.raises(ConformanceError, match=r"WrongRadius.*\[gradient\]: .* to radius"):
        check_convex_set(WrongRadius(), 4)
    kind: Any = Box
    with pytest.raises(ConformanceError, match=r"Box \[interface\]"):
        check_convex_set(kind, 4)
