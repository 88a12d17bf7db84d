"""What is iterated: a map of a batch of states, which can be narrowed to the samples that still run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.fixed_point.form import Form, Known
from metabench.layers.fixed_point.solver import Take

__all__ = ["Function", "Mapping"]


class Mapping(ABC):
    """A map of states ``(..., batch, dim)`` to images of the same shape, and to the values that are asked for."""

    @abstractmethod
    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        """The image of ``z`` and the value that goes with it, both of z's shape; often one tensor."""

    @property
    def narrows(self) -> bool:
        """Whether the map can be narrowed; False if it may act on the whole batch only."""
        return True

    @abstractmethod
    def narrow(self, take: Take) -> Mapping:
        """The same map for fewer samples."""

    def form(self) -> Form | None:
        """The map written out for a compiled loop, None where it is not known."""
        return None


@dataclass(frozen=True)
class Function(Mapping):
    """A function ``f(z, *inputs)``; it can be narrowed if nothing but ``inputs`` depends on the sample.

    Attributes:
        f: the function.
        inputs: per-sample tensors ``(..., batch, k)``; None if ``f`` may close over others.
    """

    f: Callable[..., Tensor]
    inputs: Sequence[Tensor] | None = None

    def __call__(self, z: Tensor) -> tuple[Tensor, Tensor]:
        fz = self.f(z, *(self.inputs or ()))
        if fz.shape != z.shape or fz.dtype != z.dtype:
            raise ArgumentError(
                f"f returned {tuple(fz.shape)} {fz.dtype} for a state {tuple(z.shape)} {z.dtype}; expected the same."
            )
        return fz, fz

    @property
    def narrows(self) -> bool:
        """Not if ``f`` may close over per-sample tensors."""
        return self.inputs is not None

    def narrow(self, take: Take) -> Function:
        """Takes the samples' inputs."""
        return Function(self.f, [take(x) for x in self.inputs or ()])

    def form(self) -> Form | None:
        """That of ``f``."""
        return self.f.form(*(self.inputs or ())) if isinstance(self.f, Known) else None
