"""Blocks that are told how they are solved: what changes, what does not, and what the published blocks stay."""

import pytest
import torch

from metabench.blocks import BLOCKS
from metabench.blocks.block import Block
from metabench.blocks.solving import (
    FIXED_POINT_ADJOINTS,
    FIXED_POINT_SOLVERS,
    ODE_SOLVERS,
    SolveSettings,
    make_block,
)
from metabench.errors import ArgumentError
from metabench.layers import AlternatingAnderson, Backprop, Implicit, RungeKutta4, SolveRecord, Tolerance

HEEDING = [name for name in BLOCKS.names() if BLOCKS.get(name).heeds]
SOLVED = [name for name in HEEDING if "solver" in BLOCKS.get(name).heeds]
FLOWS = [name for name in HEEDING if "ode_solver" in BLOCKS.get(name).heeds]
# What the published blocks are, spelled out.
PUBLISHED = SolveSettings(
    solver=AlternatingAnderson(compiled=True),
    tolerance=Tolerance(atol=1e-4, rtol=1e-3, max_steps=60),
    adjoint=Implicit(policy="keep"),
    ode_solver=RungeKutta4(steps=3),
    ode_adjoint=Backprop(),
)


def run(
    name: str, settings: SolveSettings | None = None
) -> tuple[Block, torch.Tensor, SolveRecord, list[torch.Tensor]]:
    """The block, its value, its record, and the gradients of the value's square to the state and the parameters."""
    block = make_block(name, 8, [torch.Generator().manual_seed(seed) for seed in (0, 1)], settings)
    h = (3 * torch.randn(2, 16, 8, generator=torch.Generator().manual_seed(9))).requires_grad_()
    value, record = block(h)
    gradients = torch.autograd.grad(value.square().sum(), [h, *block.parameters()])
    return block, value.detach(), record, list(gradients)


def largest_error(found: list[torch.Tensor], wanted: list[torch.Tensor]) -> float:
    return max(float((a - b).norm() / b.norm()) for a, b in zip(found, wanted, strict=True))


@pytest.mark.parametrize("name", BLOCKS.names())
def test_published_settings_spelled_out_give_the_same_bits(name: str) -> None:
    runs = [run(name, settings) for settings in (None, SolveSettings(), PUBLISHED)]
    (_, value, record, gradients), *others = runs
    for _, other, its_record, its_gradients in others:
        assert torch.equal(other, value)
        assert torch.equal(its_record.nfe, record.nfe)
        assert torch.equal(its_record.residual, record.residual)
        assert all(torch.equal(a, b) for a, b in zip(its_gradients, gradients, strict=True))


def test_names_say_what_the_published_blocks_are() -> None:
    named = SolveSettings.named(
        fixed_point_solver="alternating-anderson",
        fixed_point_adjoint="implicit",
        ode_solver="rk4",
        ode_steps=3,
        ode_adjoint="backprop",
        tolerance=1e-3,
    )
    assert named == PUBLISHED


@pytest.mark.parametrize("solver", FIXED_POINT_SOLVERS)
@pytest.mark.parametrize("name", SOLVED)
def test_every_solver_finds_the_same_solution_and_gradient(name: str, solver: str) -> None:
    tight = SolveSettings(tolerance=Tolerance(atol=1e-6, rtol=1e-6, max_steps=400))
    _, value, _, gradients = run(name, tight)
    _, other, record, its_gradients = run(
        name, SolveSettings(solver=FIXED_POINT_SOLVERS[solver], tolerance=tight.tolerance)
    )
    torch.testing.assert_close(other, value, rtol=1e-4, atol=1e-4)
    assert largest_error(its_gradients, gradients) < 1e-3
    assert bool(record.converged.float().mean() > 0.95)


@pytest.mark.parametrize("name", SOLVED)
def test_a_looser_tolerance_takes_fewer_evaluations(name: str) -> None:
    counts = [float(run(name, SolveSettings.named(tolerance=t))[2].nfe.float().mean()) for t in (1e-1, 1e-3, 1e-5)]
    assert counts[0] < counts[1] < counts[2]


@pytest.mark.parametrize("adjoint", [name for name in FIXED_POINT_ADJOINTS if name != "implicit"])
def test_an_adjoint_changes_the_gradient_alone(adjoint: str) -> None:
    _, value, _, gradients = run("mlp.deq")
    _, other, record, its_gradients = run("mlp.deq", SolveSettings.named(fixed_point_adjoint=adjoint))
    torch.testing.assert_close(other, value, rtol=5e-3, atol=5e-3)  # a step from a solution to tolerance 1e-3
    assert record.backward is not None
    assert record.backward.nfe.unique().tolist() == [{"jfb": 1, "phantom": 5, "truncated": 10}[adjoint]]
    assert largest_error(its_gradients, gradients) > 1e-6  # biased: it is not the implicit gradient


@pytest.mark.parametrize("name", FLOWS)
def test_flows_agree_between_solvers_and_adjoints(name: str) -> None:
    _, value, _, gradients = run(name, SolveSettings.named(ode_solver="rk4", ode_steps=40))
    adaptive = SolveSettings.named(ode_solver="dopri5", tolerance=1e-6)
    _, other, record, its_gradients = run(name, adaptive)
    torch.testing.assert_close(other, value, rtol=1e-4, atol=1e-4)
    assert largest_error(its_gradients, gradients) < 1e-3
    loose = run(name, SolveSettings.named(ode_solver="dopri5", tolerance=1e-1))[2]
    assert loose.nfe.float().mean() < record.nfe.float().mean()
    continuous = SolveSettings.named(ode_solver="rk4", ode_steps=40, ode_adjoint="continuous")
    assert largest_error(run(name, continuous)[3], gradients) < 1e-2


def test_evaluations_of_a_fixed_grid_by_hand() -> None:
    for solver, stages in {"euler": 1, "midpoint": 2, "rk4": 4}.items():
        record = run("mlp.ode", SolveSettings.named(ode_solver=solver, ode_steps=5))[2]
        assert record.nfe.unique().tolist() == [5 * stages]
    assert set(ODE_SOLVERS) == {"euler", "midpoint", "rk4", "dopri5"}


def test_unknown_names_are_answered_clearly() -> None:
    with pytest.raises(ArgumentError, match=r"unknown fixed-point solver 'andersen'\. Did you mean 'anderson'"):
        SolveSettings.named(fixed_point_solver="andersen")
    with pytest.raises(ArgumentError, match=r"unknown ODE solver 'rk5'\. Did you mean 'rk4'"):
        SolveSettings.named(ode_solver="rk5")
