"""Equilibria at several resolutions at once."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.equilibrium import fixed_point
from metabench.layers.record import SolveRecord

__all__ = ["MultiscaleSolution", "multiscale_fixed_point"]

Scales = Sequence[Tensor]


@dataclass(frozen=True)
class MultiscaleSolution:
    """The equilibrium of every scale, ``(..., dim_k)`` each, and one record of the joint solve."""

    values: tuple[Tensor, ...]
    record: SolveRecord


def multiscale_fixed_point(
    fs: Sequence[Callable[[Tensor], Tensor]],
    z0s: Scales,
    mix: Callable[[list[Tensor]], Scales] | None = None,
    **settings: Any,
) -> MultiscaleSolution:
    """Solves (z_1, ..., z_n) = mix(f_1(z_1), ..., f_n(z_n)) as one fixed point over the concatenation.

    Every scale is weighted by 1 / sqrt(dim_k) inside the solve, so that the residual which is compared with the
    tolerance is the root-mean-square of the scales' own, and a scale of few dimensions counts as much as one of many.

    Args:
        fs: one map a scale, ``(..., dim_k) -> (..., dim_k)``, acting on each sample separately.
        z0s: initial iterates ``(..., dim_k)``; all with the same sample axes and dtype.
        mix: fuses the scales: list of ``(..., dim_k)`` to the same shapes; none by default.
        settings: keyword arguments of ``fixed_point``.

    Returns:
        The equilibria, differentiable with respect to everything ``fs`` and ``mix`` depend on, and the joint record.

    Raises:
        ArgumentError: if the numbers of scales, the sample axes, the dtypes or a scale's shape do not fit.

    Reference: Bai, Koltun and Kolter (2020), arXiv:2006.08656.
    """
    if not z0s or len(fs) != len(z0s):
        raise ArgumentError(f"{len(fs)} maps and {len(z0s)} initial iterates; expected one of each for every scale.")
    shapes, dims = [z.shape for z in z0s], [z.shape[-1] if z.ndim else 0 for z in z0s]
    kinds = {(z.shape[:-1], z.dtype) for z in z0s}
    if len(kinds) > 1 or min(dims) < 1:
        found = ", ".join(f"{tuple(z.shape)} {z.dtype}" for z in z0s)
        raise ArgumentError(f"initial iterates {found}; expected (..., dim_k) with equal sample axes and dtype.")
    weight = torch.cat([z.new_full((d,), (sum(dims) / (len(dims) * d)) ** 0.5) for z, d in zip(z0s, dims, strict=True)])

    def joint(y: Tensor) -> Tensor:
        parts = [f(z) for f, z in zip(fs, (y / weight).split(dims, dim=-1), strict=True)]
        mixed = parts if mix is None else list(mix(parts))
        if [z.shape for z in mixed] != shapes:
            found = ", ".join(str(tuple(z.shape)) for z in mixed)
            wanted = ", ".join(str(tuple(shape)) for shape in shapes)
            raise ArgumentError(f"the mixed scales have shapes {found}; expected {wanted}, as the initial iterates.")
        return torch.cat(mixed, dim=-1) * weight

    solution = fixed_point(joint, torch.cat(list(z0s), dim=-1) * weight, **settings)
    return MultiscaleSolution((solution.value / weight).split(dims, dim=-1), solution.record)
