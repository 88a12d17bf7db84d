"""Compiled explicit steps answer what torch operations answer, with their gradients."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from metabench.blocks.cells import Cell, GatedCell, MLPCell
from metabench.blocks.lifts import compiled_flow
from metabench.blocks.solving import ODE_ADJOINTS, SolveSettings, make_block
from metabench.errors import DifferentiationError
from metabench.layers import Bosh3, Dopri5, SolveRecord, Tsit5, ode_solve
from metabench.layers.explicit import Plan, compiled_steps, steps
from metabench.layers.ode.fixed_grid import Euler, Midpoint, RungeKutta4
from metabench.layers.ode.tableau import EULER, MIDPOINT, RK4

REPLICATES, BATCH, DIM = 3, 20, 12


def make(cell_type: type[Cell]) -> tuple[Cell, Tensor, Tensor]:
    cell = cell_type(DIM, [torch.Generator().manual_seed(i) for i in range(REPLICATES)])
    generator = torch.Generator().manual_seed(7)
    h, x = (torch.randn(REPLICATES, BATCH, DIM, generator=generator).requires_grad_() for _ in range(2))
    return cell, h, x


@pytest.mark.parametrize(
    ("plan", "solver"),
    [(Plan(3, RK4), RungeKutta4(3)), (Plan(4, MIDPOINT), Midpoint(4)), (Plan(5, EULER), Euler(5)), (Plan(6), None)],
)
@pytest.mark.parametrize("cell_type", [MLPCell, GatedCell])
def test_values_and_gradients(cell_type: type[Cell], plan: Plan, solver: RungeKutta4 | None) -> None:
    cell, h, x = make(cell_type)
    found = []
    for compiled in (True, False):
        injection = cell.inject(x)
        if compiled:
            z = compiled_steps(cell.form(injection), h, plan)
            assert z is not None
        elif solver is None:
            z = h
            for _ in range(plan.steps):
                z = cell.apply(z, injection)
        else:
            z = ode_solve(lambda _, z, injection=injection: cell.apply(z, injection), h, solver=solver).value
        direction = torch.linspace(-1, 1, DIM)
        found.append([z, *torch.autograd.grad((z * direction).sum(), [h, x, *cell.parameters()])])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-6)


def test_second_derivatives_are_those_of_torch() -> None:
    cell, h, x = make(GatedCell)
    found = []
    for compiled in (True, False):
        injection, plan = cell.inject(x), Plan(2, RK4)
        z = compiled_steps(cell.form(injection), h, plan) if compiled else None
        if z is None:
            z = ode_solve(lambda _, z, injection=injection: cell.apply(z, injection), h, solver=RungeKutta4(2)).value
        (first,) = torch.autograd.grad(z.square().sum(), h, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [x, cell.W]))
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("case", ["float64", "watched", "transformed", "not finite", "no compiler", "another form"])
def test_torch_takes_the_steps_where_there_is_no_compiled_loop(case: str, monkeypatch: pytest.MonkeyPatch) -> None:
    cell, h, x = make(MLPCell)
    injection, plan, h = cell.inject(x).detach(), Plan(3, RK4), h.detach()
    form = cell.form(injection)
    if case == "float64":
        h = h.double()
    elif case == "watched":
        with FlopCounterMode(display=False):
            assert compiled_steps(form, h, plan) is None
        return
    elif case == "transformed":
        found = []
        torch.func.grad(lambda h: found.append(compiled_steps(form, h, plan)) or h.sum())(h)
        assert found == [None]
        return
    elif case == "not finite":
        h[0, 0, 0] = torch.inf
    elif case == "no compiler":
        monkeypatch.setattr(steps, "has_compiler", lambda: False)
    else:
        form = type(form)("box", form.weight, form.offset)
    assert compiled_steps(form, h, plan) is None


@pytest.mark.parametrize("name", ["mlp.tied", "gated.tied", "mlp.ode", "gated.ode", "mlp.ode-antisymmetric"])
def test_blocks_answer_alike_with_and_without(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    block = make_block(name, DIM, [torch.Generator().manual_seed(i) for i in range(REPLICATES)])
    h = torch.randn(REPLICATES, BATCH, DIM, generator=torch.Generator().manual_seed(3))
    ours, record = block(h)
    monkeypatch.setattr(steps, "has_compiler", lambda: False)
    theirs, plain = block(h)
    torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-6)
    assert torch.equal(record.nfe, plain.nfe)
    assert torch.equal(record.steps, plain.steps)
    assert torch.equal(record.status, plain.status)


def flow_run(
    name: str, settings: SolveSettings, gradient: Tensor, growth: float = 1.0
) -> tuple[Tensor, SolveRecord, list[Tensor]]:
    block = make_block(name, DIM, [torch.Generator().manual_seed(i) for i in range(REPLICATES)], settings)
    with torch.no_grad():
        dict(block.named_parameters())["cell.W"].mul_(growth)
    h = torch.randn(REPLICATES, BATCH, DIM, generator=torch.Generator().manual_seed(3)).requires_grad_()
    out, record = block(h)
    return out.detach(), record, list(torch.autograd.grad(out, [h, *block.parameters()], gradient))


@pytest.mark.parametrize("solver", ["euler", "midpoint", "rk4"])
@pytest.mark.parametrize("name", ["mlp.ode", "gated.ode", "mlp.ode-antisymmetric"])
def test_reversed_flows_are_those_of_torch(name: str, solver: str, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SolveSettings.named(ode_solver=solver, ode_steps=4, ode_adjoint="continuous")
    gradient = torch.randn(REPLICATES, BATCH, DIM, generator=torch.Generator().manual_seed(5))
    ours, record, gradients = flow_run(name, settings, gradient)
    monkeypatch.setattr(steps, "has_compiler", lambda: False)
    theirs, plain, their_gradients = flow_run(name, settings, gradient)
    torch.testing.assert_close(ours, theirs, rtol=2e-5, atol=2e-6)
    for mine, other in zip(gradients, their_gradients, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5)
    for mine, other in ((record, plain), (record.backward, plain.backward)):
        assert mine is not None
        assert other is not None
        for field in ("status", "steps", "nfe", "residual"):
            assert torch.equal(getattr(mine, field), getattr(other, field))


def test_a_reversed_flow_sets_lost_samples_aside(monkeypatch: pytest.MonkeyPatch) -> None:
    settings = SolveSettings.named(ode_solver="rk4", ode_steps=3, ode_adjoint="continuous")
    gradient = torch.ones(REPLICATES, BATCH, DIM)
    gradient[0, 0] = torch.inf
    _, record, gradients = flow_run("gated.ode", settings, gradient)
    assert record.backward is not None
    assert not record.backward.converged[0, 0]
    assert bool(record.backward.converged[0, 1:].all())
    monkeypatch.setattr(steps, "has_compiler", lambda: False)
    for mine, other in zip(gradients, flow_run("gated.ode", settings, gradient)[2], strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-5, equal_nan=True)


def test_a_reversed_flow_has_first_derivatives_only_and_none_without_a_graph() -> None:
    settings = SolveSettings.named(ode_solver="rk4", ode_steps=3, ode_adjoint="continuous")
    block = make_block("mlp.ode", DIM, [torch.Generator().manual_seed(0)], settings)
    h = torch.randn(1, BATCH, DIM, generator=torch.Generator().manual_seed(3)).requires_grad_()
    with pytest.raises(DifferentiationError, match="continuous ODE adjoint"):
        torch.autograd.grad(block(h)[0].square().sum(), h, create_graph=True)
    with torch.no_grad():
        _, record = block(h)
    assert record.nfe.unique().tolist() == [12]
    assert record.backward is None


@pytest.mark.parametrize("tolerance", [1e-1, 1e-4])
@pytest.mark.parametrize("adjoint", ["backprop", "continuous"])
@pytest.mark.parametrize("solver", [Dopri5(max_steps=60), Tsit5(), Bosh3()], ids=lambda s: type(s).__name__)
@pytest.mark.parametrize("name", ["mlp.ode", "gated.ode", "mlp.ode-antisymmetric"])
def test_adaptive_flows_are_those_of_torch(
    name: str, solver: Dopri5, adjoint: str, tolerance: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SolveSettings(
        ode_solver=replace(solver, rtol=tolerance, atol=tolerance / 10), ode_adjoint=ODE_ADJOINTS[adjoint]
    )
    gradient = torch.randn(REPLICATES, BATCH, DIM, generator=torch.Generator().manual_seed(5))
    ours, record, gradients = flow_run(name, settings, gradient, growth=4.0)  # so that step sizes differ
    monkeypatch.setattr(steps, "has_compiler", lambda: False)
    theirs, plain, their_gradients = flow_run(name, settings, gradient, growth=4.0)
    close = max(1e-4, tolerance / 100)  # a large step of a strong field multiplies the rounding of its size
    torch.testing.assert_close(ours, theirs, rtol=close, atol=close)
    for mine, other in zip(gradients, their_gradients, strict=True):
        assert float((mine - other).norm() / other.norm()) < close
    for mine, other in ((record, plain), (record.backward, plain.backward)):
        assert mine is not None
        assert other is not None
        assert torch.equal(mine.status, other.status)
        for field in ("steps", "nfe"):  # rounding decides whether a few steps are accepted
            assert (getattr(mine, field) == getattr(other, field)).float().mean() > 0.9
        assert float(mine.residual.max()) <= 2 * tolerance  # relative; the absolute part adds to it


def test_adaptive_flows_give_up_as_torch_does(monkeypatch: pytest.MonkeyPatch) -> None:
    few = SolveSettings(ode_solver=Dopri5(rtol=1e-5, atol=1e-6, max_steps=3))
    gradient = torch.ones(REPLICATES, BATCH, DIM)
    ours, record, _ = flow_run("gated.ode", few, gradient, growth=4.0)
    monkeypatch.setattr(steps, "has_compiler", lambda: False)
    theirs, plain, _ = flow_run("gated.ode", few, gradient, growth=4.0)
    assert not bool(plain.converged.any())
    assert torch.equal(record.status, plain.status)
    assert torch.equal(record.nfe, plain.nfe)
    # How far three steps come depends on their sizes, and the second's on the first's error, which is mostly rounding.
    torch.testing.assert_close(ours, theirs, rtol=0, atol=0.05)


def test_adaptive_flows_can_be_differentiated_again(monkeypatch: pytest.MonkeyPatch) -> None:
    cell, h, x = make(GatedCell)
    found = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(steps, "has_compiler", lambda: False)
        injection = cell.inject(x)
        flow = compiled_flow(cell.form(injection), h, SolveSettings(ode_solver=Dopri5()))
        assert (flow is not None) == compiled
        torch_flow = ode_solve(lambda _, z, i=injection: cell.apply(z, i), h, solver=Dopri5()).value
        z = torch_flow if flow is None else flow[0]
        (first,) = torch.autograd.grad(z.square().sum(), h, create_graph=True)
        found.append(torch.autograd.grad(first.square().sum(), [x, cell.W]))
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize("lost", ["state", "gradient"])
@pytest.mark.parametrize("adjoint", ["backprop", "continuous"])
def test_adaptive_flows_that_are_lost_are_those_of_torch(
    adjoint: str, lost: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings = SolveSettings.named(ode_solver="dopri5", ode_adjoint=adjoint, tolerance=1e-3)
    found = []
    for compiled in (True, False):
        if not compiled:
            monkeypatch.setattr(steps, "has_compiler", lambda: False)
        block = make_block("gated.ode", DIM, [torch.Generator().manual_seed(0)], settings)
        h, gradient = torch.linspace(-1, 1, BATCH * DIM).reshape(1, BATCH, DIM), torch.ones(1, BATCH, DIM)
        (h if lost == "state" else gradient)[0, 0, 0] = torch.inf
        out, record = block(h.requires_grad_())
        found.append([out, record.status, *torch.autograd.grad(out, [h, *block.parameters()], gradient)])
    for mine, other in zip(*found, strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-4, atol=1e-4, equal_nan=True)
