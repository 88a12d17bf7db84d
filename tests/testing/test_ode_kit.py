"""The ODE kit passes on every solver, and fails on what is wrong by construction."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from metabench.errors import ArgumentError, ConformanceError
from metabench.layers import ODESolver, SolveRecord
from metabench.layers.ode import Bosh3, Dopri5, Euler, Midpoint, RungeKutta4, TorchDiffEq, Tsit5, all_solvers
from metabench.testing import check_ode_solver

CASES: dict[type[ODESolver], dict[str, Any]] = {
    Euler: {"solver": Euler(400), "order": 1, "accuracy": 2e-2},
    Midpoint: {"solver": Midpoint(60), "order": 2},
    RungeKutta4: {"solver": RungeKutta4(10), "order": 4},
    TorchDiffEq: {"solver": TorchDiffEq(rtol=1e-6, atol=1e-8), "independent": False},
}


@pytest.mark.parametrize("kind", all_solvers)
def test_every_solver_conforms(kind: Any) -> None:
    case = CASES.get(kind)
    check_ode_solver(**case if case is not None else {"solver": kind(rtol=1e-6, atol=1e-8)})


@pytest.mark.parametrize("method", ["rk4", "heun3", "bosh3", "dopri8"])
def test_torchdiffeq_methods_conform(method: str) -> None:
    options = {"step_size": 0.02} if method in ("rk4", "heun3") else {}
    check_ode_solver(TorchDiffEq(method, rtol=1e-6, atol=1e-8, options=options), independent=False)


def test_shared_steps_are_not_taken_for_independent_ones() -> None:
    with pytest.raises(ConformanceError, match=r"\[independent samples\]"):
        check_ode_solver(TorchDiffEq(rtol=1e-6, atol=1e-8))


@dataclass(frozen=True)
class Heun(ODESolver):
    """Heun's second-order method with the fault that is asked for."""

    steps: int = 60
    fault: str = ""

    def integrate(
        self, f: Any, z: Tensor, times: Sequence[float], *, run: Any = None, observe: Any = None
    ) -> tuple[list[Tensor], SolveRecord]:
        path, n = [z], 0
        for start, end in pairwise(times):
            h = (end - start) / self.steps
            h = abs(h) if self.fault == "forward only" else h
            for i in range(self.steps):
                t = start + i * h
                first = f(t, z)
                second = f(t if self.fault == "stage time" else t + h, z + h * first)
                slope = first if self.fault == "order" else (first + second) / 2
                z = z + h * (slope.detach() if self.fault == "cut" and i == 0 else slope)
                n += 2
            path.append(z.float() if self.fault == "dtype" else z)
        if self.fault == "first state":
            path[0] = path[1]
        if self.fault == "coupled":
            path[-1] = path[-1] + 1e-8 * path[-1].mean(0, keepdim=True)
        count = n + 1 if self.fault == "count" else n
        record = SolveRecord.explicit(path[-1], nfe=count, steps=n // 2)
        if self.fault == "record":
            record.nfe = record.nfe.sum()
        return path, record


@pytest.mark.parametrize(
    ("fault", "message"),
    [
        ("stage time", r"\[time-dependent field\]"),
        ("forward only", r"\[backward in time\]"),
        ("order", r"\[order\]: the error falls as steps\^-1\.\d\d .*expected order 2"),
        ("cut", r"\[gradient\]: the gradient to (the weights|z0) has a relative error"),
        ("dtype", r": got .* torch\.float32, expected .* torch\.float64"),
        ("first state", r"\[closed form\]"),
        ("coupled", r"\[sample axes\]: .*differ by up to"),
        ("count", r"\[nfe\]: f was called 120 times and nfe is 121"),
        ("record", r"\[record\]: nfe has shape \(\), expected \(3,\)"),
    ],
)
def test_a_wrong_solver_is_caught(fault: str, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        check_ode_solver(Heun(2000 if fault == "order" else 60, fault), order=2, accuracy=5e-3)


def test_a_sample_that_stops_must_not_spoil_the_others() -> None:
    # Heun here freezes nothing: 0 times NaN reaches the shared weight's gradient.
    with pytest.raises(ConformanceError, match=r"\[a sample that stops\]: the gradient to a shared weight"):
        check_ode_solver(Heun(), order=2, accuracy=5e-3)


def test_order_needs_steps() -> None:
    with pytest.raises(ArgumentError, match="order=5 was given and Dopri5"):
        check_ode_solver(Dopri5(1e-6, 1e-8), order=5)
    with pytest.raises(ConformanceError, match="interface"):
        check_ode_solver(Tsit5)  # type: ignore[arg-type]
    with pytest.raises(ConformanceError, match=r"\[order\]"):
        check_ode_solver(RungeKutta4(10), order=3)
    with pytest.raises(ConformanceError, match=r"\[closed form\]"):
        check_ode_solver(Bosh3(1e-1, 1e-1), accuracy=1e-6)


def test_global_randomness_is_caught() -> None:
    class Noisy(ODESolver):
        def integrate(self, f: Any, z: Tensor, times: Sequence[float], *, run: Any = None, observe: Any = None) -> Any:
            torch.rand(())
            return RungeKutta4(10).integrate(f, z, times)

    with pytest.raises(ConformanceError, match=r"\[no global random state\]"):
        check_ode_solver(Noisy(), independent=False)
