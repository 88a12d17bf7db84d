"""The fixed-point kits pass on everything that is here, and fail on what is wrong by construction."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import pytest
import torch
from torch import Tensor

from metabench.errors import ConformanceError
from metabench.layers import Adjoint, Anderson, FixedPointSolver, Implicit, Picard, SolveRecord, Tolerance
from metabench.layers.adjoint import ImplicitDense, JacobianFree, Phantom, Truncated, all_adjoints, exact_adjoints
from metabench.layers.fixed_point import Broyden, all_solvers
from metabench.testing import check_adjoint, check_fixed_point_solver

SETTINGS = [Picard(damping=0.7), Anderson(memory=2), Anderson(delay=10), Anderson(mixing=0.9), Broyden(memory=3)]


@pytest.mark.parametrize("solver", [*(kind() for kind in all_solvers), *SETTINGS])
def test_every_solver_conforms(solver: FixedPointSolver) -> None:
    check_fixed_point_solver(solver)


@pytest.mark.parametrize("adjoint", [*(kind() for kind in all_adjoints), Truncated(3), Phantom(2, 0.8)])
def test_every_adjoint_conforms(adjoint: Adjoint) -> None:
    check_adjoint(adjoint, exact=isinstance(adjoint, exact_adjoints))


@pytest.mark.parametrize("adjoint", [Implicit, ImplicitDense])
def test_exact_adjoints_conform_with_other_solvers(adjoint: type[Adjoint]) -> None:
    check_adjoint(adjoint(), exact=True, solver=Anderson())


class Wrong(FixedPointSolver):
    """Plain iteration with one fault; each subclass below has another."""

    def init(self, z: Tensor) -> Any:
        return None

    def step(self, f: Callable[[Tensor], Tensor], z: Tensor, fz: Tensor, state: Any) -> tuple[Tensor, Any]:
        return fz, state

    def select(self, state: Any, take: Callable[[Tensor], Tensor]) -> Any:
        return state

    def __repr__(self) -> str:
        return type(self).__name__


class Coupled(Wrong):
    """A step length that the worst sample of the batch decides."""

    def step(self, f: Callable[[Tensor], Tensor], z: Tensor, fz: Tensor, state: Any) -> tuple[Tensor, Any]:
        return torch.lerp(z, fz, 1 / (1 + float((fz - z).abs().max()))), state


class Forgetful(Wrong):
    """Momentum whose memory is not narrowed with the samples, but cut off at their number."""

    def init(self, z: Tensor) -> Any:
        return torch.zeros_like(z)

    def step(self, f: Callable[[Tensor], Tensor], z: Tensor, fz: Tensor, state: Any) -> tuple[Tensor, Any]:
        move = fz - z + 0.2 * state
        return z + move, move

    def select(self, state: Any, take: Callable[[Tensor], Tensor]) -> Any:
        return state[..., : take(state).shape[-2], :]


class Writing(Wrong):
    def step(self, f: Callable[[Tensor], Tensor], z: Tensor, fz: Tensor, state: Any) -> tuple[Tensor, Any]:
        return fz.mul_(0.5).add_(z, alpha=0.5), state


class Stuck(Wrong):
    def step(self, f: Callable[[Tensor], Tensor], z: Tensor, fz: Tensor, state: Any) -> tuple[Tensor, Any]:
        return z, state


class Random(Wrong):
    def step(self, f: Callable[[Tensor], Tensor], z: Tensor, fz: Tensor, state: Any) -> tuple[Tensor, Any]:
        return fz + 1e-3 * (fz - z) * torch.rand(()), state


class Dividing(Wrong):
    """Two plain steps, the second by its direction and length, with nothing done about a length of zero."""

    def step(self, f: Callable[[Tensor], Tensor], z: Tensor, fz: Tensor, state: Any) -> tuple[Tensor, Any]:
        move = f(fz) - fz
        length = move.norm(dim=-1, keepdim=True)
        return fz + length * (move / length), state


class Remembering(Wrong):
    """Keeps its memory on itself."""

    calls = 0

    def step(self, f: Callable[[Tensor], Tensor], z: Tensor, fz: Tensor, state: Any) -> tuple[Tensor, Any]:
        self.calls += 1
        return torch.lerp(z, fz, 1 - 0.5 / self.calls), state


class Averaging(Wrong):
    """Replaces every sample by the batch's mean."""

    def step(self, f: Callable[[Tensor], Tensor], z: Tensor, fz: Tensor, state: Any) -> tuple[Tensor, Any]:
        return fz.mean(0, keepdim=True).expand_as(fz), state


class Single(Wrong):
    """Steps in half precision: too coarse to converge."""

    def step(self, f: Callable[[Tensor], Tensor], z: Tensor, fz: Tensor, state: Any) -> tuple[Tensor, Any]:
        return fz.half().to(fz.dtype), state


@pytest.mark.parametrize(
    ("solver", "message"),
    [
        (Coupled(), r"Coupled \[independent samples\]"),
        (Forgetful(), r"Forgetful \[independent samples\]: values with and without"),
        (Writing(), r"Writing \[tensors handed in\]: an image"),
        (Stuck(), r"Stuck \[converges\]: 5 of 5"),
        (Random(), r"Random \[deterministic\]"),
        (Dividing(), r"Dividing \[float32\]: 1 of 40"),
        (Remembering(), r"Remembering \[deterministic\]"),
        (Averaging(), r"Averaging \[converges\]"),
        (Single(), r"Single \[converges\]"),
        ("anderson", r"'anderson' \[interface\]"),
    ],
    ids=lambda value: type(value).__name__,
)
def test_a_wrong_solver_is_caught(solver: Any, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        check_fixed_point_solver(solver)


def test_wrong_is_wrong_by_its_fault_alone() -> None:
    check_fixed_point_solver(Wrong())


@dataclass(frozen=True)
class Scaled(Adjoint):
    """The exact adjoint of a layer whose incoming gradient is multiplied: stands for a forgotten factor."""

    factor: float

    def solve(
        self,
        f: Callable[..., Tensor],
        z0: Tensor,
        inputs: Sequence[Tensor] | None,
        solver: FixedPointSolver,
        stopping: Tolerance,
    ) -> tuple[Tensor, SolveRecord]:
        value, record = ImplicitDense().solve(f, z0, inputs, solver, stopping)
        if value.requires_grad:
            value = self.factor * value + (1 - self.factor) * value.detach()
        return value, record


@dataclass(frozen=True)
class Unrecorded(Adjoint):
    """Leaves no backward record."""

    def solve(
        self,
        f: Callable[..., Tensor],
        z0: Tensor,
        inputs: Sequence[Tensor] | None,
        solver: FixedPointSolver,
        stopping: Tolerance,
    ) -> tuple[Tensor, SolveRecord]:
        value, record = ImplicitDense().solve(f, z0, inputs, solver, stopping)
        return value, replace(record)  # the backward pass writes on the other one


@dataclass(frozen=True)
class Averaged(Adjoint):
    """Takes the mean of the batch's gradients where each sample has its own."""

    def solve(
        self,
        f: Callable[..., Tensor],
        z0: Tensor,
        inputs: Sequence[Tensor] | None,
        solver: FixedPointSolver,
        stopping: Tolerance,
    ) -> tuple[Tensor, SolveRecord]:
        value, record = JacobianFree().solve(f, z0, inputs, solver, stopping)
        return value + 0.05 * (value - value.detach()).sum(0, keepdim=True), record


@dataclass(frozen=True)
class Absolute(Adjoint):
    """Solves the adjoint equation to an absolute tolerance, as a solver meant for states would."""

    def solve(
        self,
        f: Callable[..., Tensor],
        z0: Tensor,
        inputs: Sequence[Tensor] | None,
        solver: FixedPointSolver,
        stopping: Tolerance,
    ) -> tuple[Tensor, SolveRecord]:
        value, record = Implicit().solve(f, z0, inputs, solver, stopping)
        if value.requires_grad:
            value.register_hook(lambda grad: torch.where(grad.abs() > 1e-8, grad, 0.0))
        return value, record


@pytest.mark.parametrize(
    ("adjoint", "exact", "message"),
    [
        (Scaled(1.01), True, r"\[exact gradient\]: gradient to the shared W .* differ by up to"),
        (JacobianFree(), True, r"JacobianFree\(\) \[exact gradient\]"),
        (Scaled(-1.0), False, r"\[biased gradient\]: .*cosine -1\.000"),
        (Unrecorded(), True, r"Unrecorded\(\) \[backward record\]: got a NoneType"),
        (Averaged(), False, r"Averaged\(\) \[independent samples\]"),
        (Absolute(), True, r"Absolute\(\) \[proportional\]: .*1e-09"),
        (Implicit, True, r"Implicit \[interface\]"),
    ],
)
def test_a_wrong_adjoint_is_caught(adjoint: Any, exact: bool, message: str) -> None:
    with pytest.raises(ConformanceError, match=message):
        check_adjoint(adjoint, exact=exact)
