"""What a convex set must know to be projected on, and to be differentiated through."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import fields

import torch
from torch import Tensor

from metabench.errors import ArgumentError, DifferentiationError

__all__ = ["ConvexSet", "Polyhedron", "column", "is_positive", "refuse_parameter_gradient"]


class ConvexSet(ABC):
    """A closed convex set of ``(..., dim)`` vectors: a frozen dataclass whose fields, floats or tensors, describe it.

    A tensor field may have the sample axes ``(...)`` in front, one set for each sample, or none, one set for all.
    """

    @abstractmethod
    def project(self, v: Tensor) -> Tensor:
        """Euclidean projection of ``v`` ``(..., dim)``; exact zeros and bounds, so the active face can be read off."""

    @abstractmethod
    def pull_back(self, v: Tensor, z: Tensor, grad: Tensor) -> Tensor:
        """The Jacobian of the projection, which is symmetric, times ``grad``; z is the projection of v, ``(..., dim)``.

        Where the projection has a kink, that of one side.
        """

    @abstractmethod
    def parameter_gradients(self, v: Tensor, z: Tensor, grad: Tensor) -> tuple[Tensor, ...]:
        """What ``grad`` at the projection z of v gives each field, sample by sample: sample axes, then the field's."""

    @property
    def parameters(self) -> tuple[Tensor, ...]:
        """The fields that are tensors."""
        return tuple(value for value in self.values if isinstance(value, Tensor))

    @property
    def values(self) -> tuple[float | Tensor, ...]:
        """Every field, in order."""
        return tuple(getattr(self, field.name) for field in fields(self))  # pyright: ignore[reportArgumentType]


class Polyhedron(ConvexSet):
    """A set with flat faces: the Jacobian of the projection projects on the directions along the face of z."""

    @abstractmethod
    def project_tangent(self, z: Tensor, v: Tensor) -> Tensor:
        """Orthogonal projection of ``v`` on the directions along the face that ``z`` lies on, both ``(..., dim)``."""

    def pull_back(self, v: Tensor, z: Tensor, grad: Tensor) -> Tensor:
        """Along the face of z."""
        return self.project_tangent(z, grad)


def column(parameter: float | Tensor) -> float | Tensor:
    """A number for each sample, ``(...)``, made to broadcast with ``(..., dim)``."""
    return parameter.unsqueeze(-1) if isinstance(parameter, Tensor) else parameter


def is_positive(name: str, parameter: float | Tensor) -> None:
    """Checks a number, or a number for each sample.

    Raises:
        ArgumentError: naming the first value that is not positive.
    """
    if isinstance(parameter, Tensor):
        bad = parameter.detach()[~(parameter.detach() > 0)]
        if bad.numel():
            raise ArgumentError(f"{name} holds {float(bad[0])}: expected positive numbers.")
    elif not parameter > 0:
        raise ArgumentError(f"{name}={parameter}: expected a positive number.")


def refuse_parameter_gradient(onto: ConvexSet, what: str) -> None:
    """Raises if a gradient is wanted to the set's own tensors, for a layer that gives none.

    Raises:
        DifferentiationError: naming the set, and what to use instead.
    """
    if torch.is_grad_enabled() and any(parameter.requires_grad for parameter in onto.parameters):
        raise DifferentiationError(
            f"{what} gives no gradient to the tensors of {type(onto).__name__}; detach them, or use projected_gradient."
        )
