"""dz/dt = s (MLP(z) - z) for t in [0, 1], the rate s from 1 to 30 across the samples."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from contest import Case, Contender, Goal, Ledger, Solve
from torch import Tensor

from metabench.layers import ode_solve
from metabench.layers.ode import Bosh3, Dopri5, ODESolver, Tsit5

DIM, HIDDEN = 32, 64
RTOL, ATOL = 1e-4, 1e-6
_GAIN = 2.2  # of the weights against torch's default, so that the field is not nearly linear


def leaves(batch: int, seed: int = 0) -> tuple[tuple[Tensor, ...], Tensor]:
    """z0 and the weights, float32; and the rates ``(batch, 1)``."""
    generator = torch.Generator().manual_seed(seed)

    def uniform(*shape: int, fan: int) -> Tensor:
        return (2 * torch.rand(*shape, generator=generator) - 1) / fan**0.5

    W1, b1 = _GAIN * uniform(HIDDEN, DIM, fan=DIM), uniform(HIDDEN, fan=DIM)
    W2, b2 = _GAIN * uniform(DIM, HIDDEN, fan=HIDDEN), uniform(DIM, fan=HIDDEN)
    z0 = torch.randn(batch, DIM, generator=generator)
    rates = torch.logspace(0, 1.4771213, batch).unsqueeze(-1)
    return tuple(t.requires_grad_() for t in (z0, W1, b1, W2, b2)), rates


def field(t: object, z: Tensor, rate: Tensor, W1: Tensor, b1: Tensor, W2: Tensor, b2: Tensor) -> Tensor:
    """The vector field."""
    return rate * (torch.addmm(b2, torch.tanh(torch.addmm(b1, z, W1.mT)), W2.mT) - z)


def exact(
    tensors: tuple[Tensor, ...], rates: Tensor, cotangent: Tensor, rtol: float
) -> tuple[Tensor, tuple[Tensor, ...]]:
    """In float64 by an order-8 method, 64 samples at a time, and its backpropagation."""
    from torchdiffeq import odeint

    z0, *weights = [t.detach().double().requires_grad_() for t in tensors]
    values, starts = [], []
    total = [torch.zeros_like(w) for w in weights]
    for i in range(0, len(z0), 64):
        part = z0[i : i + 64].detach().requires_grad_()
        rate = rates[i : i + 64].double()
        path: Any = odeint(
            lambda t, z, rate=rate: field(t, z, rate, *weights),
            part,
            torch.tensor([0.0, 1.0], dtype=torch.float64),
            rtol=rtol,
            atol=rtol,
            method="dopri8",
        )
        start, *rest = torch.autograd.grad(path[-1], (part, *weights), cotangent[i : i + 64].double())
        values.append(path[-1].detach())
        starts.append(start)
        total = [a + b for a, b in zip(total, rest, strict=True)]
    return torch.cat(values), (torch.cat(starts), *total)


Field = Callable[[Any, Tensor], Tensor]


def _torchdiffeq(f: Field, z0: Tensor) -> dict[str, Solve]:
    from torchdiffeq import odeint

    times = torch.tensor([0.0, 1.0])

    def solve() -> Tensor:
        path: Any = odeint(f, z0, times, rtol=RTOL, atol=ATOL, method="dopri5")
        return path[-1]

    return {"": solve}


def _torchdyn(f: Field, z0: Tensor, method: str) -> dict[str, Solve]:
    from torchdyn.numerics import odeint

    times = torch.tensor([0.0, 1.0])
    return {"": lambda: odeint(f, z0, times, solver=method, rtol=RTOL, atol=ATOL)[1][-1]}


def _torchode(f: Field, z0: Tensor, method: str) -> dict[str, Solve]:
    import torchode

    term = torchode.ODETerm(f)
    step = getattr(torchode, method)(term=term)
    control = torchode.IntegralController(atol=ATOL, rtol=RTOL, term=term)
    times = torch.tensor([[0.0, 1.0]]).expand(len(z0), 2)

    def solve(solver: Any) -> Tensor:
        return solver.solve(torchode.InitialValueProblem(y0=z0, t_eval=times)).ys[:, -1]

    return {
        "steps constant in the gradient": partial(
            solve, torchode.AutoDiffAdjoint(step, control, backprop_through_step_size_control=False)
        ),
        "default": partial(solve, torchode.AutoDiffAdjoint(step, control)),
    }


def make(name: str, batch: int, *, goals: tuple[Goal, ...]) -> Case:
    """The case.

    The recommended setting is that of the layers' page, fixed here before anything is measured: ``Tsit5()`` with the
    default way back, and the tolerances that all sides get.
    """
    tensors, rates = leaves(batch)
    z0, *weights = tensors
    cotangent = torch.randn(batch, DIM, generator=torch.Generator().manual_seed(1))
    value, gradients = exact(tensors, rates, cotangent, 1e-10)
    again, gradients_again = exact(tensors, rates, cotangent, 1e-8)
    ledger = Ledger()
    f = ledger.watch(lambda t, z: field(t, z, rates, *weights), z_at=1)

    def ours(solver: ODESolver) -> Callable[[], dict[str, Solve]]:
        return lambda: {"": lambda: ode_solve(f, z0, solver=solver, policy="keep").value}

    contenders = (
        Contender("Tsit5", "ours", ours(Tsit5(rtol=RTOL, atol=ATOL)), "recommended"),
        Contender("Dopri5", "ours", ours(Dopri5(rtol=RTOL, atol=ATOL))),
        Contender("Bosh3", "ours", ours(Bosh3(rtol=RTOL, atol=ATOL))),
        Contender("torchdiffeq dopri5", "peer", partial(_torchdiffeq, f, z0)),
        Contender("torchdyn dopri5, autograd", "peer", partial(_torchdyn, f, z0, "dopri5")),
        Contender("torchdyn tsit5, autograd", "peer", partial(_torchdyn, f, z0, "tsit5")),
        Contender("torchode Dopri5", "peer", partial(_torchode, f, z0, "Dopri5")),
        Contender("torchode Tsit5", "peer", partial(_torchode, f, z0, "Tsit5")),
    )
    case = Case(
        name=name,
        title=f"dz/dt = s (MLP(z) - z), MLP {DIM}-{HIDDEN}-{DIM} tanh, t in [0, 1], s from 1 to 30, batch {batch}, "
        f"float32, rtol {RTOL:.0e}",
        leaves=tensors,
        cotangent=cotangent,
        value=value,
        gradients=gradients,
        contenders=contenders,
        costs=_costs(tensors, rates),
        ledger=ledger,
        value_limit=10 * RTOL,
        gradient_limit=10 * RTOL,
        goals=goals,
    )
    case.notes["error left in the exact value"], case.notes["in the exact gradient"] = case.errors(
        again, gradients_again
    )
    return case


def _costs(tensors: tuple[Tensor, ...], rates: Tensor) -> dict[str, Callable[[int], Callable[[], object]]]:
    z0, *weights = tensors

    def evaluation(rows: int) -> Callable[[], object]:
        def work() -> object:
            with torch.no_grad():
                return field(0.0, z0, rates, *weights)

        return work

    def vjp(rows: int, *, everything: bool) -> Callable[[], object]:
        image = field(0.0, z0, rates, *weights)
        u = torch.ones_like(z0)
        return lambda: torch.autograd.grad(image, tensors if everything else z0, u, retain_graph=True)

    return {
        "evaluation": evaluation,
        "recorded": lambda rows: lambda: field(0.0, z0, rates, *weights),
        "vjp": partial(vjp, everything=False),
        "vjp-all": partial(vjp, everything=True),
    }
