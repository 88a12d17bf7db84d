"""One explicit Runge-Kutta step."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from torch import Tensor

from metabench.layers.ode.solver import VectorField
from metabench.layers.ode.tableau import ButcherTableau

__all__ = ["Step", "explicit_step"]


class Step(NamedTuple):
    """What a step computed.

    Attributes:
        z: the new state ``(..., dim)``.
        last: the last stage's slope, which an FSAL method uses as the next step's first.
        slopes: k_i, times h where the step size is a tensor.
        times: the stages' times.
        states: the stages' states.
    """

    z: Tensor
    last: Tensor
    slopes: Sequence[Tensor]
    times: Sequence[float | Tensor]
    states: Sequence[Tensor]


def _add(z: Tensor, slopes: Sequence[Tensor], weights: Sequence[float], scale: float) -> Tensor:
    for slope, weight in zip(slopes, weights, strict=False):
        if weight:
            z = z.add(slope, alpha=weight * scale)
    return z


def explicit_step(
    f: VectorField,
    tableau: ButcherTableau,
    t: float | Tensor,
    z: Tensor,
    h: float | Tensor,
    first: Tensor | None = None,
) -> Step:
    """Steps from ``t`` to ``t + h``.

    A tensor step size multiplies each slope once, not each use of it.

    Args:
        f: vector field.
        tableau: the method.
        t: time, a float or ``(..., 1)``.
        z: state ``(..., dim)``.
        h: signed step, a float or ``(..., 1)``.
        first: f(t, z), where it is known.
    """
    slope = f(t, z) if first is None else first
    per_sample = isinstance(h, Tensor)
    scale = 1.0 if per_sample else h
    slopes, times, states = [slope * h if per_sample else slope], [t], [z]
    for node, row in zip(tableau.c, tableau.a, strict=True):
        states.append(_add(z, slopes, row, scale))
        times.append(t + h if node == 1.0 else t + node * h)
        slope = f(times[-1], states[-1])
        slopes.append(slope * h if per_sample else slope)
    new = states[-1] if tableau.first_same_as_last else _add(z, slopes, tableau.b, scale)
    return Step(new, slope, slopes, times, states)
