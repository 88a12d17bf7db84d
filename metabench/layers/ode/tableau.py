"""Explicit Runge-Kutta coefficients, as data."""

from __future__ import annotations

from dataclasses import dataclass

__all__ = ["RK4", "ButcherTableau"]


@dataclass(frozen=True)
class ButcherTableau:
    """k_i = f(t + c_i h, z + h sum_j a_ij k_j), z <- z + h sum_i b_i k_i.

    Attributes:
        order: order of accuracy.
        a: rows of the strictly lower triangular matrix, the first stage's empty row left out.
        b: weights.
        c: nodes of the stages after the first.
    """

    order: int
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    c: tuple[float, ...]


# Kutta (1901); Hairer, Norsett and Wanner (1993), Solving ODEs I, table 1.2.
RK4 = ButcherTableau(
    order=4,
    a=((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)),
    b=(1 / 6, 1 / 3, 1 / 3, 1 / 6),
    c=(1 / 2, 1 / 2, 1.0),
)
