"""Every method of torchdiffeq, by name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from metabench.errors import ArgumentError, DifferentiationError, SolverError
from metabench.layers.ode.solver import Observe, ODESolver, Run, VectorField
from metabench.layers.record import SolveRecord
from metabench.layers.transforms import under_vmap
from metabench.registry import did_you_mean

__all__ = ["TorchDiffEq"]


@dataclass(frozen=True)
class TorchDiffEq(ODESolver):
    """torchdiffeq's ``odeint``, with backpropagation through its steps.

    Its adaptive methods share one step size over the whole batch, so a sample's value depends, within the tolerance,
    on its neighbours, and every sample's ``nfe`` is the batch's. In release 0.2.5 ``"explicit_adams"`` is unstable: on
    a linear system it gets worse as the grid gets finer.

    Attributes:
        method: a torchdiffeq method (``"dopri5"``, ``"bosh3"``, ``"rk4"``, ...).
        rtol: relative tolerance of adaptive methods.
        atol: absolute tolerance of adaptive methods.
        options: passed to torchdiffeq.

    Reference: Chen et al. (2018), arXiv:1806.07366.
    """

    method: str = "dopri5"
    rtol: float = 1e-4
    atol: float = 1e-6
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        from torchdiffeq._impl.odeint import SOLVERS

        if self.method not in SOLVERS:
            known = ", ".join(SOLVERS)
            raise ArgumentError(
                f"unknown torchdiffeq method {self.method!r}.{did_you_mean(self.method, SOLVERS)} Known: {known}."
            )

    def integrate(
        self,
        f: VectorField,
        z: Tensor,
        times: Sequence[float],
        *,
        run: Run | None = None,
        observe: Observe | None = None,
    ) -> tuple[list[Tensor], SolveRecord]:
        """One call of ``torchdiffeq.odeint``.

        Raises:
            ArgumentError: if ``run`` or ``observe`` is given: torchdiffeq does not show its steps.
            DifferentiationError: if a gradient is wanted of a method that has none (``"scipy_solver"``).
            SolverError: if torchdiffeq gives up, which ends the whole batch.
        """
        from torchdiffeq import odeint

        if run is not None or observe is not None:
            raise ArgumentError(
                "torchdiffeq does not show its steps; use adjoint=Backprop(), ContinuousAdjoint(solver=Dopri5()) to go "
                "back with a solver that does, or a solver of metabench."
            )
        if under_vmap():
            raise DifferentiationError(
                "torchdiffeq does not run under torch.func.vmap; leave the samples on the leading axes of z0, or use a "
                "fixed-grid solver of metabench."
            )
        evaluations, wanted = 0, z.requires_grad

        def counted(t: Tensor, y: Tensor) -> Tensor:
            nonlocal evaluations, wanted
            evaluations += 1
            slope = f(t, y)
            wanted = wanted or slope.requires_grad
            return slope

        moments = torch.tensor(times, dtype=z.dtype, device=z.device)
        options: Any = dict(self.options) or None
        if z.numel() == 0:
            return [z] * len(times), SolveRecord.explicit(z, nfe=0)
        try:
            path: Any = odeint(counted, z, moments, rtol=self.rtol, atol=self.atol, method=self.method, options=options)
        except AssertionError as error:
            raise SolverError(
                f"torchdiffeq's {self.method} gave up on the batch ({error}); a solver of metabench would stop the one "
                "sample only."
            ) from error
        if wanted and torch.is_grad_enabled() and not path.requires_grad:
            raise DifferentiationError(
                f"torchdiffeq's {self.method} gives no gradient; use torch.no_grad(), another method, or "
                "ContinuousAdjoint(solver=Dopri5())."
            )
        return list(path.unbind(0)), SolveRecord.explicit(path[-1], nfe=evaluations)
