"""Explicit Runge-Kutta coefficients, as data."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from metabench.errors import ArgumentError

__all__ = ["BOSH3", "DOPRI5", "EULER", "MIDPOINT", "RK4", "TSIT5", "ButcherTableau", "all_tableaus"]


@dataclass(frozen=True)
class ButcherTableau:
    """k_i = f(t + c_i h, z + h sum_j a_ij k_j), z <- z + h sum_i b_i k_i.

    Attributes:
        name: the method's usual name.
        order: order of accuracy.
        a: rows of the strictly lower triangular matrix, the first stage's empty row left out.
        b: weights.
        c: nodes of the stages after the first.
        error: b minus the weights of the embedded method: h sum_i error_i k_i estimates the local error. Empty where
            there is no embedded method.
        dense: d in the dense output u(theta) = cubic Hermite + theta^2 (1 - theta)^2 h sum_i d_i k_i. Empty: d = 0.
    """

    name: str
    order: int
    a: tuple[tuple[float, ...], ...]
    b: tuple[float, ...]
    c: tuple[float, ...]
    error: tuple[float, ...] = ()
    dense: tuple[float, ...] = ()

    def __post_init__(self) -> None:
        stages = len(self.b)
        if [len(row) for row in self.a] != list(range(1, stages)) or len(self.c) != stages - 1:
            raise ArgumentError(f"{self.name}: expected rows of length 1 to {stages - 1} and {stages - 1} nodes.")
        if len(self.error) not in (0, stages) or len(self.dense) not in (0, stages):
            raise ArgumentError(f"{self.name}: expected {stages} error and dense-output weights, or none.")
        if self.error and not self.first_same_as_last:
            raise ArgumentError(f"{self.name}: the adaptive loop expects the last row of a to be b (FSAL).")

    @property
    def matrix(self) -> np.ndarray:
        """All of ``a``, float64 ``(stages, stages)``, zero on and above the diagonal."""
        full = np.zeros((len(self.b), len(self.b)))
        for i, row in enumerate(self.a):
            full[i + 1, : len(row)] = row
        return full

    @property
    def first_same_as_last(self) -> bool:
        """Whether the last stage is f at the new state, and so the next step's first (FSAL)."""
        return bool(self.a) and (*self.a[-1], 0.0) == self.b


EULER = ButcherTableau(name="euler", order=1, a=(), b=(1.0,), c=())

# Runge (1895); Hairer, Norsett and Wanner (1993), Solving ODEs I, table 1.1.
MIDPOINT = ButcherTableau(name="midpoint", order=2, a=((1 / 2,),), b=(0.0, 1.0), c=(1 / 2,))

# Kutta (1901); Hairer, Norsett and Wanner (1993), table 1.2.
RK4 = ButcherTableau(
    name="rk4",
    order=4,
    a=((1 / 2,), (0.0, 1 / 2), (0.0, 0.0, 1.0)),
    b=(1 / 6, 1 / 3, 1 / 3, 1 / 6),
    c=(1 / 2, 1 / 2, 1.0),
)

# Bogacki and Shampine (1989), A 3(2) pair of Runge-Kutta formulas. Its dense output is the cubic Hermite.
BOSH3 = ButcherTableau(
    name="bosh3",
    order=3,
    a=((1 / 2,), (0.0, 3 / 4), (2 / 9, 1 / 3, 4 / 9)),
    b=(2 / 9, 1 / 3, 4 / 9, 0.0),
    c=(1 / 2, 3 / 4, 1.0),
    error=(2 / 9 - 7 / 24, 1 / 3 - 1 / 4, 4 / 9 - 1 / 3, -1 / 8),
)

# Dormand and Prince (1980), A family of embedded Runge-Kutta formulae; dense output of fourth order: Hairer, Norsett
# and Wanner (1993), section II.6.
DOPRI5 = ButcherTableau(
    name="dopri5",
    order=5,
    a=(
        (1 / 5,),
        (3 / 40, 9 / 40),
        (44 / 45, -56 / 15, 32 / 9),
        (19372 / 6561, -25360 / 2187, 64448 / 6561, -212 / 729),
        (9017 / 3168, -355 / 33, 46732 / 5247, 49 / 176, -5103 / 18656),
        (35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84),
    ),
    b=(35 / 384, 0.0, 500 / 1113, 125 / 192, -2187 / 6784, 11 / 84, 0.0),
    c=(1 / 5, 3 / 10, 4 / 5, 8 / 9, 1.0, 1.0),
    error=(71 / 57600, 0.0, -71 / 16695, 71 / 1920, -17253 / 339200, 22 / 525, -1 / 40),
    dense=(
        -12715105075 / 11282082432,
        0.0,
        87487479700 / 32700410799,
        -10690763975 / 1880347072,
        701980252875 / 199316789632,
        -1453857185 / 822651844,
        69997945 / 29380423,
    ),
)

# Tsitouras (2011), Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying assumption. The dense
# weights are the leading coefficients of its interpolant, which has the Hermite data at both ends.
TSIT5 = ButcherTableau(
    name="tsit5",
    order=5,
    a=(
        (0.161,),
        (-0.008480655492356989, 0.335480655492357),
        (2.8971530571054935, -6.359448489975075, 4.3622954328695815),
        (5.325864828439257, -11.748883564062828, 7.4955393428898365, -0.09249506636175525),
        (5.86145544294642, -12.92096931784711, 8.159367898576159, -0.071584973281401, -0.028269050394068383),
        (0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774),
    ),
    b=(0.09646076681806523, 0.01, 0.4798896504144996, 1.379008574103742, -3.290069515436081, 2.324710524099774, 0.0),
    c=(0.161, 0.327, 0.9, 0.9800255409045097, 1.0, 1.0),
    error=(
        -0.00178001105222577714,
        -0.0008164344596567469,
        0.007880878010261995,
        -0.1447110071732629,
        0.5823571654525552,
        -0.45808210592918697,
        1 / 66,
    ),
    dense=(
        -1.0530884977290216,
        0.1017,
        2.490627285651252793,
        -16.54810288924490272,
        47.37952196281928122,
        -34.87065786149660974,
        2.5,
    ),
)

all_tableaus = (EULER, MIDPOINT, RK4, BOSH3, DOPRI5, TSIT5)
