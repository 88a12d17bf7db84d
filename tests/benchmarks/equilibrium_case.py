"""z = tanh(W z + U x + b): a map that contracts well, and one that contracts slowly."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from contest import Case, Contender, Goal, Ledger, Solve
from torch import Tensor

from metabench.layers import Anderson, Chord, Implicit, Picard, Tolerance, fixed_point
from metabench.layers.adjoint import Adjoint, ImplicitDense, JacobianFree, Phantom, Unrolled
from metabench.layers.fixed_point import FixedPointSolver

BATCH, DIM = 64, 128
_TORCHDEQ_TOLERANCES = (1e-2, 1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6)  # absolute norms over the 128 entries of a sample


def leaves(radius: float, *, symmetric: bool, seed: int = 0) -> tuple[Tensor, ...]:
    """W, U, b, x in float32; W has the spectral radius, small inputs keep that of the Jacobian near it."""
    generator = torch.Generator().manual_seed(seed)
    W = torch.randn(DIM, DIM, dtype=torch.float64, generator=generator)
    W = (W + W.mT) / 2 if symmetric else W
    W = W * (radius / torch.linalg.eigvals(W).abs().max())
    U = 0.05 / DIM**0.5 * torch.randn(DIM, DIM, generator=generator)
    b = 0.05 * torch.randn(DIM, generator=generator)
    x = torch.randn(BATCH, DIM, generator=generator)
    return tuple(t.float().requires_grad_() for t in (W, U, b, x))


def cell(z: Tensor, injection: Tensor, W: Tensor) -> Tensor:
    """The map, with the injection U x + b computed once."""
    return torch.tanh(torch.addmm(injection, z, W.mT))


def exact(tensors: tuple[Tensor, ...], cotangent: Tensor) -> tuple[Tensor, tuple[Tensor, ...], float]:
    """Equilibrium and gradient in float64, by Newton steps and an LU of I - J; and the largest spectral radius of J."""
    W, U, b, x = wide = [t.detach().double().requires_grad_() for t in tensors]
    with torch.no_grad():
        injection = x @ U.mT + b
        z = torch.zeros_like(x)
        eye = torch.eye(DIM, dtype=z.dtype)
        for _ in range(20):
            image = cell(z, injection, W)
            J = (1 - image.square()).unsqueeze(-1) * W
            z = z + torch.linalg.solve(eye - J, image - z)
        u = torch.linalg.solve((eye - J).mT, cotangent.double())
        radius = float(torch.linalg.eigvals(J).abs().max())
    image = cell(z, x @ U.mT + b, W)
    return z, torch.autograd.grad(image, wide, u), radius


def ours(
    f: Callable[..., Tensor],
    tensors: tuple[Tensor, ...],
    solver: FixedPointSolver | None,
    adjoint: Adjoint | None,
    *,
    named: bool = True,
    stopping: Tolerance | None = None,
) -> Tensor:
    """One solve; ``named`` passes the injection as a per-sample input, otherwise f closes over it."""
    W, U, b, x = tensors
    injection, z0 = torch.addmm(b, x, U.mT), torch.zeros_like(x)
    if named:
        inputs, map_ = [injection], lambda z, i: f(z, i, W)
    else:
        inputs, map_ = None, lambda z: f(z, injection, W)
    return fixed_point(map_, z0, inputs=inputs, solver=solver, adjoint=adjoint, stopping=stopping, policy="keep").value


def _torchdeq(
    f: Callable[..., Tensor], tensors: tuple[Tensor, ...], solver: str, **options: object
) -> dict[str, Solve]:
    from torchdeq import get_deq

    W, U, b, x = tensors

    def solve(deq: Callable[..., tuple[list[Tensor], object]]) -> Tensor:
        injection = torch.addmm(b, x, U.mT)
        states, _ = deq(lambda z: f(z, injection, W), torch.zeros_like(x))
        return states[-1]

    settings: dict[str, Solve] = {}
    limit = {"f_max_iter": 300, "b_max_iter": 300}
    if not options:  # the defaults, at the tolerance of the case
        return {"defaults, f_tol=1e-4": partial(solve, get_deq(f_tol=1e-4, f_max_iter=300))}
    for forward in (1e-3, 3e-4, 1e-4, 3e-5, 1e-5, 3e-6):
        for backward in _TORCHDEQ_TOLERANCES:
            deq = get_deq(f_solver=solver, b_solver=solver, f_tol=forward, b_tol=backward, **limit, **options)
            settings[f"f_tol={forward:.0e}, b_tol={backward:.0e}"] = partial(solve, deq)
    return settings


def _plain_unroll(f: Callable[..., Tensor], tensors: tuple[Tensor, ...], steps: int) -> Tensor:
    W, U, b, x = tensors
    injection, z = torch.addmm(b, x, U.mT), torch.zeros_like(x)
    for _ in range(steps):
        z = f(z, injection, W)
    return z


def make(name: str, radius: float, *, symmetric: bool, gradient_limit: float, goals: tuple[Goal, ...]) -> Case:
    """The case.

    The recommended setting is that of the layers' page, and follows from the map's spectral radius. Under 0.7 it
    contracts well: plain steps, ``Picard()`` with ``Implicit()``. From there on it contracts slowly, and the state is
    one of about a hundred: ``Chord()`` with ``Implicit()``, which takes the same solver backward. Both with the default
    tolerance. How often Chord checks was chosen on the slow one of these problems.
    """
    tensors = leaves(radius, symmetric=symmetric)
    generator = torch.Generator().manual_seed(1)
    cotangent = torch.randn(BATCH, DIM, generator=generator)
    value, gradients, measured = exact(tensors, cotangent)
    ledger = Ledger()
    f = ledger.watch(cell)
    contracts = radius < 0.7

    def one(
        solver: FixedPointSolver | None, adjoint: Adjoint | None, *, named: bool = True
    ) -> Callable[[], dict[str, Solve]]:
        return lambda: {"": lambda: ours(f, tensors, solver, adjoint, named=named)}

    def by_hand(z: Tensor, injection: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        W = tensors[0].detach()
        slope = 1 - cell(z, injection, W).square()
        ledger.add("evaluation", len(z))

        def product(u: Tensor, w: Tensor) -> Tensor:
            ledger.add("product", len(u))
            return torch.addmm(w, u * slope, W)

        return product

    def mark(recommended: bool) -> str:
        return "recommended" if recommended else "other"

    biased = {"exact": False}
    contenders = (
        Contender("Picard + Implicit", "ours", one(Picard(), Implicit()), mark(contracts)),
        Contender("Picard + Implicit(linearise=...)", "ours", one(Picard(), Implicit(linearise=by_hand))),
        Contender("Anderson + Implicit, f alone (default)", "ours", one(None, None, named=False)),
        Contender("Anderson + Implicit", "ours", one(Anderson(), Implicit())),
        Contender("Anderson(delay=10) + Implicit", "ours", one(Anderson(delay=10), Implicit())),
        Contender("Anderson + ImplicitDense", "ours", one(Anderson(), ImplicitDense())),
        Contender("Chord + Implicit", "ours", one(Chord(), Implicit()), mark(not contracts)),
        Contender("Chord + Implicit(linearise=...)", "ours", one(Chord(), Implicit(linearise=by_hand))),
        Contender("Picard + Unrolled", "ours", one(Picard(), Unrolled())),
        Contender("Picard + Phantom", "ours", one(Picard(), Phantom()), **biased),
        Contender("Picard + JacobianFree", "ours", one(Picard(), JacobianFree()), **biased),
        *(
            Contender(f"torchdeq {solver}, ift", "peer", partial(_torchdeq, f, tensors, solver, ift=True))
            for solver in ("fixed_point_iter", "anderson", "broyden")
        ),
        Contender("torchdeq default (one phantom step)", "peer", partial(_torchdeq, f, tensors, ""), **biased),
        Contender(
            "plain loop, unrolled, no stopping rule",
            "baseline",
            lambda: {
                f"{steps} steps": partial(_plain_unroll, f, tensors, steps) for steps in (60 if contracts else 240,)
            },
        ),
    )
    return Case(
        name=name,
        title=f"z = tanh(Wz + Ux + b), batch {BATCH}, dim {DIM}, float32, {'symmetric ' if symmetric else ''}W of "
        f"spectral radius {radius}",
        leaves=tensors,
        cotangent=cotangent,
        value=value,
        gradients=gradients,
        contenders=contenders,
        costs=_costs(tensors),
        ledger=ledger,
        value_limit=1e-4 / (1 - radius),  # what a residual of 1e-4 leaves
        gradient_limit=gradient_limit,
        goals=goals,
        notes={"spectral radius of the Jacobian at the equilibrium, worst sample": measured},
    )


def _costs(tensors: tuple[Tensor, ...]) -> dict[str, Callable[[int], Callable[[], object]]]:
    W, U, b, x = tensors
    most = max(BATCH, DIM + 1)  # a Jacobian by differences evaluates dim + 1 samples
    fixed_W, injection = W.detach(), (x @ U.mT + b).detach()[torch.arange(most) % BATCH]
    z = 0.1 * torch.ones(most, DIM)

    def evaluation(rows: int) -> Callable[[], object]:
        def work() -> object:
            with torch.no_grad():
                return cell(z[:rows], injection[:rows], fixed_W)

        return work

    def recorded(rows: int) -> Callable[[], object]:
        leaf = z[:rows].clone().requires_grad_()
        return lambda: cell(leaf, injection[:rows], W)

    def vjp(rows: int, *, everything: bool) -> Callable[[], object]:
        leaf, inner = z[:rows].clone().requires_grad_(), injection[:rows].clone().requires_grad_()
        image, u = cell(leaf, inner, W), torch.ones(rows, DIM)
        wanted = (leaf, inner, W) if everything else leaf
        return lambda: torch.autograd.grad(image, wanted, u, retain_graph=True)

    def jacobian(rows: int) -> Callable[[], object]:
        leaf = z[:rows].clone().requires_grad_()
        image, basis = cell(leaf, injection[:rows], W), torch.eye(DIM).unsqueeze(1).expand(DIM, rows, DIM)
        return lambda: torch.autograd.grad(image, leaf, basis, retain_graph=True, is_grads_batched=True)

    return {
        "evaluation": evaluation,
        "recorded": recorded,
        "vjp": partial(vjp, everything=False),
        "vjp-all": partial(vjp, everything=True),
        "product": lambda rows: lambda: torch.addmm(z[:rows], z[:rows] * injection[:rows], fixed_W),
        "jacobian": jacobian,
    }
