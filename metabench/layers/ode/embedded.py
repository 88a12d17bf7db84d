"""Adaptive methods: embedded Runge-Kutta pairs with per-sample step control."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from metabench.errors import ArgumentError
from metabench.layers.ode.adaptive import integrate_adaptively
from metabench.layers.ode.solver import Observe, ODESolver, Run, VectorField
from metabench.layers.ode.tableau import BOSH3, DOPRI5, TSIT5
from metabench.layers.record import SolveRecord
from metabench.layers.stopping import Tolerance

__all__ = ["Bosh3", "Dopri5", "Tsit5"]


def _tolerance(rtol: float, atol: float, max_steps: int, first_step: float | None) -> Tolerance:
    if first_step is not None and not first_step > 0:
        raise ArgumentError(f"first_step={first_step}: expected a positive step size, or None to choose one.")
    return Tolerance(atol=atol, rtol=rtol, max_steps=max_steps)


@dataclass(frozen=True)
class Dopri5(ODESolver):
    """Dormand and Prince's pair of orders 5 and 4; six evaluations a step, dense output of order 4.

    Every sample has its own step size, so its value does not depend on the batch it is in.

    Attributes:
        rtol: relative tolerance on a step's local error, by sample (root-mean-square over ``dim``).
        atol: absolute tolerance, in units of the state.
        max_steps: attempted steps after which a sample is given up.
        first_step: size of the first step; None chooses it from the slope, at one more evaluation.

    Reference: Dormand and Prince (1980), A family of embedded Runge-Kutta formulae.
    """

    rtol: float = 1e-4
    atol: float = 1e-6
    max_steps: int = 1000
    first_step: float | None = None

    def __post_init__(self) -> None:
        _tolerance(self.rtol, self.atol, self.max_steps, self.first_step)

    def integrate(
        self,
        f: VectorField,
        z: Tensor,
        times: Sequence[float],
        *,
        run: Run | None = None,
        observe: Observe | None = None,
    ) -> tuple[list[Tensor], SolveRecord]:
        """Six evaluations an attempt."""
        tolerance = _tolerance(self.rtol, self.atol, self.max_steps, self.first_step)
        return integrate_adaptively(
            f, z, times, tableau=DOPRI5, tolerance=tolerance, first_step=self.first_step, run=run, observe=observe
        )


@dataclass(frozen=True)
class Tsit5(ODESolver):
    """Tsitouras's pair of orders 5 and 4; six evaluations a step, dense output of order 4, smaller error terms.

    Every sample has its own step size, so its value does not depend on the batch it is in.

    Attributes:
        rtol: relative tolerance on a step's local error, by sample (root-mean-square over ``dim``).
        atol: absolute tolerance, in units of the state.
        max_steps: attempted steps after which a sample is given up.
        first_step: size of the first step; None chooses it from the slope, at one more evaluation.

    Reference: Tsitouras (2011), Runge-Kutta pairs of order 5(4) satisfying only the first column simplifying
        assumption.
    """

    rtol: float = 1e-4
    atol: float = 1e-6
    max_steps: int = 1000
    first_step: float | None = None

    def __post_init__(self) -> None:
        _tolerance(self.rtol, self.atol, self.max_steps, self.first_step)

    def integrate(
        self,
        f: VectorField,
        z: Tensor,
        times: Sequence[float],
        *,
        run: Run | None = None,
        observe: Observe | None = None,
    ) -> tuple[list[Tensor], SolveRecord]:
        """Six evaluations an attempt."""
        tolerance = _tolerance(self.rtol, self.atol, self.max_steps, self.first_step)
        return integrate_adaptively(
            f, z, times, tableau=TSIT5, tolerance=tolerance, first_step=self.first_step, run=run, observe=observe
        )


@dataclass(frozen=True)
class Bosh3(ODESolver):
    """Bogacki and Shampine's pair of orders 3 and 2; three evaluations a step, for loose tolerances.

    Every sample has its own step size, so its value does not depend on the batch it is in.

    Attributes:
        rtol: relative tolerance on a step's local error, by sample (root-mean-square over ``dim``).
        atol: absolute tolerance, in units of the state.
        max_steps: attempted steps after which a sample is given up.
        first_step: size of the first step; None chooses it from the slope, at one more evaluation.

    Reference: Bogacki and Shampine (1989), A 3(2) pair of Runge-Kutta formulas.
    """

    rtol: float = 1e-4
    atol: float = 1e-6
    max_steps: int = 1000
    first_step: float | None = None

    def __post_init__(self) -> None:
        _tolerance(self.rtol, self.atol, self.max_steps, self.first_step)

    def integrate(
        self,
        f: VectorField,
        z: Tensor,
        times: Sequence[float],
        *,
        run: Run | None = None,
        observe: Observe | None = None,
    ) -> tuple[list[Tensor], SolveRecord]:
        """Three evaluations an attempt."""
        tolerance = _tolerance(self.rtol, self.atol, self.max_steps, self.first_step)
        return integrate_adaptively(
            f, z, times, tableau=BOSH3, tolerance=tolerance, first_step=self.first_step, run=run, observe=observe
        )
