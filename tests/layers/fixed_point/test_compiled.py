"""Compiled solves answer what the loop over torch operations answers."""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor

from metabench.blocks.cells import Cell, GatedCell, MLPCell
from metabench.layers import (
    AlternatingAnderson,
    Anderson,
    Box,
    Broyden,
    Implicit,
    Orthant,
    Picard,
    Simplex,
    SolveRecord,
    SolveStatus,
    Tolerance,
    fixed_point,
    monotone_inclusion,
)
from metabench.layers.fixed_point import compiled
from metabench.layers.fixed_point.iterate import iterate
from metabench.layers.fixed_point.mapping import Function
from metabench.layers.kernels import on_one_thread, tanh

REPLICATES, BATCH, DIM = 3, 40, 12
Solver = AlternatingAnderson | Anderson | Picard | Broyden
SOLVERS: list[Solver] = [
    AlternatingAnderson(),
    AlternatingAnderson(memory=3, period=2, delay=1),
    AlternatingAnderson(period=1, delay=0),
    Anderson(),
    Anderson(memory=3, delay=4),
    Picard(),
    Broyden(),
    Broyden(memory=3),  # emptied again and again
]


def both(solve: Callable[[bool], tuple[Tensor, SolveRecord]]) -> list[tuple[Tensor, SolveRecord]]:
    return [solve(flag) for flag in (False, True)]


def agree(ours: SolveRecord | None, theirs: SolveRecord | None) -> None:
    assert ours is not None
    assert theirs is not None
    assert (ours.nfe == theirs.nfe).float().mean() > 0.95  # rounding decides a few ends
    assert torch.equal(ours.converged, theirs.converged)
    torch.testing.assert_close(ours.residual, theirs.residual, rtol=0.5, atol=2e-4)


@pytest.mark.parametrize("solver", SOLVERS, ids=str)
@pytest.mark.parametrize("cell_type", [MLPCell, GatedCell])
def test_equilibria_and_their_gradients(cell_type: type[Cell], solver: Solver) -> None:
    cell = cell_type(DIM, [torch.Generator().manual_seed(i) for i in range(REPLICATES)])
    with torch.no_grad():
        cell.W *= 1.6  # so that the mixtures are needed
    x = torch.randn(REPLICATES, BATCH, DIM, generator=torch.Generator().manual_seed(7))
    found = []
    for flag in (False, True):
        cell.zero_grad()
        solution = fixed_point(
            cell.known,
            torch.zeros_like(x),
            inputs=(cell.inject(x),),
            solver=replace(solver, compiled=flag),
            stopping=Tolerance(atol=1e-5, rtol=1e-4, max_steps=60),
            adjoint=Implicit(policy="keep", linearise=cell.linearise),
            policy="keep",
        )
        solution.value.square().sum().backward()
        assert cell.W.grad is not None
        found.append((solution, cell.W.grad.clone()))
    (theirs, their_gradient), (ours, our_gradient) = found
    agree(ours.record, theirs.record)
    agree(ours.record.backward, theirs.record.backward)
    torch.testing.assert_close(ours.value, theirs.value, rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(our_gradient, their_gradient, rtol=1e-2, atol=1e-2 * float(their_gradient.abs().max()))


@pytest.mark.parametrize("solver", [AlternatingAnderson(), Broyden(), Picard()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("onto", [Orthant(), Box(-0.2, 0.3), Simplex(), Simplex(2.5)], ids=str)
def test_splittings_and_their_gradients(onto: Box | Orthant | Simplex, solver: Solver) -> None:
    generator = torch.Generator().manual_seed(3)
    W = torch.randn(REPLICATES, DIM, DIM, generator=generator) / DIM**0.5
    p = torch.randn(REPLICATES, BATCH, DIM, generator=generator)
    found = []
    for flag in (False, True):
        A = (W.mT @ W + 0.5 * torch.eye(DIM) + W - W.mT).requires_grad_()
        at = p.clone().requires_grad_()
        solution = monotone_inclusion(
            A, at, onto, modulus=0.5, solver=replace(solver, compiled=flag), stopping=Tolerance(1e-5, 1e-4, 60)
        )
        (solution.value * torch.linspace(-1, 1, DIM)).sum().backward()
        assert A.grad is not None
        assert at.grad is not None
        found.append((solution, A.grad, at.grad))
    theirs, ours = found
    agree(ours[0].record, theirs[0].record)
    agree(ours[0].record.backward, theirs[0].record.backward)
    for mine, other in zip((ours[0].value, *ours[1:]), (theirs[0].value, *theirs[1:]), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-2, atol=2e-3)


@pytest.mark.parametrize("solver", [AlternatingAnderson(), Broyden(), Picard()], ids=lambda s: type(s).__name__)
def test_ends_of_every_kind(solver: Solver) -> None:
    cell = MLPCell(DIM, [torch.Generator().manual_seed(0)])
    injection = torch.randn(1, 4, DIM, generator=torch.Generator().manual_seed(1))
    injection[0, 1] = float("nan")
    with torch.no_grad():
        cell.W *= 40.0  # chaotic: most never settle
        injection[0, 0] = 200.0  # saturated: settles at once
    stopping = Tolerance(atol=1e-6, rtol=1e-5, max_steps=13)
    (_, theirs), (value, ours) = both(
        lambda flag: iterate(
            Function(cell.known, [injection]), torch.zeros(1, 4, DIM), replace(solver, compiled=flag), stopping
        )
    )
    assert torch.equal(ours.status, theirs.status)
    assert torch.equal(ours.nfe, theirs.nfe)
    assert {SolveStatus.CONVERGED.code, SolveStatus.DIVERGED.code, SolveStatus.MAX_STEPS.code} == set(
        ours.status.flatten().tolist()
    )
    assert torch.equal(value[0, 1], torch.zeros(DIM))  # the last finite iterate


def test_the_least_size_counts() -> None:
    cell = MLPCell(DIM, [torch.Generator().manual_seed(0)])
    x = 1e-3 * torch.randn(1, BATCH, DIM, generator=torch.Generator().manual_seed(1))
    scale = torch.full((1, BATCH), 10.0)
    (_, theirs), (_, ours) = both(
        lambda flag: iterate(
            Function(cell.known, [cell.inject(x).detach()]),
            torch.zeros_like(x),
            AlternatingAnderson(compiled=flag),
            Tolerance(atol=0.0, rtol=1e-3),
            scale=scale,
        )
    )
    assert torch.equal(ours.nfe, theirs.nfe)
    assert ours.nfe.max() == 4  # at the first check


@pytest.mark.parametrize(
    "solver", [Anderson(mixing=0.5, compiled=True), Picard(damping=0.5, compiled=True), Anderson()]
)
def test_damped_steps_are_left_to_torch(solver: Solver) -> None:
    cell = MLPCell(DIM, [torch.Generator().manual_seed(0)])
    mapping = Function(cell.known, [cell.inject(torch.randn(1, BATCH, DIM)).detach()])
    assert compiled.compiled_iterate(mapping, torch.zeros(1, BATCH, DIM), solver, Tolerance(), None) is None


@pytest.mark.parametrize("case", ["double", "unknown map", "no numba"])
def test_what_it_cannot_do_is_left_to_torch(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = MLPCell(DIM, [torch.Generator().manual_seed(0)])
    injection = cell.inject(torch.randn(1, BATCH, DIM)).detach()
    mapping, z = Function(cell.known, [injection]), torch.zeros(1, BATCH, DIM)
    arguments = (AlternatingAnderson(compiled=True), Tolerance(), None)
    assert compiled.compiled_iterate(mapping, z, *arguments) is not None
    if case == "double":
        z = z.double()
    elif case == "unknown map":
        mapping = Function(cell.apply, [injection])
    else:
        monkeypatch.setattr(compiled, "has_compiler", lambda: False)
    assert compiled.compiled_iterate(mapping, z, *arguments) is None


def test_compiled_loops_leave_the_process_its_threads() -> None:
    import scipy.linalg  # noqa: F401
    from threadpoolctl import threadpool_info, threadpool_limits

    def threads() -> list[int]:
        return [library["num_threads"] for library in threadpool_info() if library["user_api"] == "blas"]

    with threadpool_limits(2, user_api="blas"):
        before = threads()
        assert set(on_one_thread(threads)) == {1}
        assert threads() == before


def test_tanh_is_right_to_a_few_units_in_the_last_place() -> None:
    x = np.concatenate([np.linspace(-12, 12, 20_001), [0.0, 1e-30, np.inf, -np.inf]]).astype(np.float32)
    y = x.copy()
    tanh(y, len(y))
    np.testing.assert_allclose(y, np.tanh(x.astype(np.float64)), rtol=5e-7)
    lost = np.array([np.nan], dtype=np.float32)
    tanh(lost, 1)
    assert np.isnan(lost[0])
