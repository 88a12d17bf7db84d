"""A dense quadratic program, 1/2 z'Qz + q'z with Gz <= h and Az = b; all six are batched and get a gradient."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import torch
from contest import Case, Contender, Goal, Ledger, Solve
from torch import Tensor

from metabench.layers.argmin.qp import dense_qp

BATCH, VARIABLES, INEQUALITIES, EQUALITIES = 64, 20, 10, 5


def leaves(seed: int = 0) -> tuple[Tensor, ...]:
    """Q, q, G, h, A, b in float64, feasible with room."""
    generator = torch.Generator().manual_seed(seed)

    def normal(*shape: int) -> Tensor:
        return torch.randn(BATCH, *shape, dtype=torch.float64, generator=generator)

    root = normal(VARIABLES, VARIABLES)
    Q = root @ root.mT / VARIABLES + 0.1 * torch.eye(VARIABLES, dtype=torch.float64)
    q, G, A = normal(VARIABLES), normal(INEQUALITIES, VARIABLES), normal(EQUALITIES, VARIABLES)
    inside = normal(VARIABLES, 1)
    room = torch.rand(BATCH, INEQUALITIES, dtype=torch.float64, generator=generator)
    h, b = (G @ inside).squeeze(-1) + room, (A @ inside).squeeze(-1)
    return tuple(t.requires_grad_() for t in (Q, q, G, h, A, b))


def _conditions(Q: Tensor, q: Tensor, G: Tensor, h: Tensor, A: Tensor, b: Tensor, active: Tensor) -> Tensor:
    """z, w, y of the optimality conditions with the inequalities ``active`` held as equalities, (batch, n + m + p)."""
    m, p = INEQUALITIES, EQUALITIES
    held = active.to(Q.dtype).unsqueeze(-1)
    idle = torch.diag_embed((~active).to(Q.dtype)).expand(len(Q), m, m)
    zero = Q.new_zeros(len(Q), m + p, m + p)
    zero[:, :m, :m] = idle
    top = torch.cat([Q, G.mT, A.mT], -1)
    bottom = torch.cat([torch.cat([held * G, A], -2), zero], -1)
    right = torch.cat([-q, active.to(Q.dtype) * h, b], -1)
    return torch.linalg.solve(torch.cat([top, bottom], -2), right)


def exact(tensors: tuple[Tensor, ...], cotangent: Tensor) -> tuple[Tensor, tuple[Tensor, ...], float]:
    """By trying every active set, then differentiating a dense solve; and the least of all slacks and multipliers."""
    n, m = VARIABLES, INEQUALITIES
    fixed = [t.detach() for t in tensors]
    Q, _, G, h, _, _ = fixed
    best = torch.full((BATCH,), torch.inf, dtype=Q.dtype)
    active = torch.zeros(BATCH, m, dtype=torch.bool)
    margin = torch.zeros_like(best)
    for choice in itertools.product((False, True), repeat=m):
        trial = torch.tensor(choice).expand(BATCH, m)
        solution = _conditions(*fixed, trial)
        slack = h - (G @ solution[:, :n, None]).squeeze(-1)
        signed = torch.where(trial, solution[:, n : n + m], slack)
        wrong = (-signed).clamp_min(0).amax(-1)
        better = wrong < best
        best, active = torch.where(better, wrong, best), torch.where(better[:, None], trial, active)
        margin = torch.where(better, signed.amin(-1), margin)
    wide = [t.clone().requires_grad_() for t in fixed]
    z = _conditions(*wide, active)[:, :n]
    return z.detach(), torch.autograd.grad(z, wide, cotangent), float(margin.min())


def _qpth(tensors: tuple[Tensor, ...], ledger: Ledger) -> dict[str, Solve]:
    from qpth.qp import QPFunction
    from qpth.solvers.pdipm import batch

    if not hasattr(batch, "_factor_kkt"):
        batch._factor_kkt = original = batch.factor_kkt

        def counted(*arguments: Any) -> Any:
            ledger.add("factorisation", BATCH)
            return original(*arguments)

        batch.factor_kkt = counted

    def solve() -> Tensor:
        ledger.add("reduction", BATCH)
        return QPFunction(verbose=-1, check_Q_spd=False)(*tensors)

    return {"check_Q_spd=False": solve}


def _cvxpylayers(tensors: tuple[Tensor, ...], solver_args: dict[str, object]) -> dict[str, Solve]:
    import cvxpy as cp
    from cvxpylayers.torch import CvxpyLayer

    n, m, p = VARIABLES, INEQUALITIES, EQUALITIES
    z, root, q = cp.Variable(n), cp.Parameter((n, n)), cp.Parameter(n)
    G, h, A, b = cp.Parameter((m, n)), cp.Parameter(m), cp.Parameter((p, n)), cp.Parameter(p)
    problem = cp.Problem(cp.Minimize(cp.sum_squares(root @ z) / 2 + q @ z), [G @ z <= h, A @ z == b])
    layer = CvxpyLayer(problem, parameters=[root, q, G, h, A, b], variables=[z], solver_args=solver_args)

    def solve() -> Tensor:
        return layer(torch.linalg.cholesky(tensors[0]).mT.contiguous(), *tensors[1:])[0]

    label = ", ".join(f"{key}={value}" for key, value in solver_args.items())
    return {label: solve}


def make(name: str, *, goals: tuple[Goal, ...]) -> Case:
    """The case. Ours has no settings to choose: ``dense_qp`` with its defaults."""
    tensors = leaves()
    Q, q, G, h, A, b = tensors
    cotangent = torch.randn(BATCH, VARIABLES, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    value, gradients, margin = exact(tensors, cotangent)
    ledger = Ledger()

    def ours() -> Tensor:
        solution = dense_qp(Q, q, A=A, b=b, G=G, h=h, policy="keep")
        ledger.add("factorisation", BATCH, int(solution.record.nfe.max()) + 1)  # one in the backward pass
        ledger.add("reduction", BATCH)
        return solution.value

    contenders = (
        Contender("dense_qp", "ours", lambda: {"": ours}, "recommended"),
        Contender("qpth", "peer", lambda: _qpth(tensors, ledger)),
        Contender("cvxpylayers, default", "peer", lambda: _cvxpylayers(tensors, {})),
        Contender(
            "cvxpylayers, accurate",
            "peer",
            lambda: _cvxpylayers(tensors, {"solve_method": "Clarabel", "mode": "dense"}),
        ),
    )
    return Case(
        name=name,
        title=f"QP, {VARIABLES} variables, {INEQUALITIES} inequalities, {EQUALITIES} equalities, batch {BATCH}, "
        "float64, all data batched and differentiated",
        leaves=tensors,
        cotangent=cotangent,
        value=value,
        gradients=gradients,
        contenders=contenders,
        costs={
            "factorisation": lambda rows: _factorisation(Q.detach()),
            "reduction": lambda rows: _reduction(Q.detach(), torch.cat([G, A], -2).detach()),
        },
        ledger=ledger,
        value_limit=1e-10,
        gradient_limit=1e-6,
        goals=goals,
        unit="factorisations",
        symmetric=(0,),
        notes={"least slack or multiplier at the solution": margin},
    )


def _factorisation(Q: Tensor) -> Callable[[], object]:
    """One Cholesky factorisation of the inequalities' size and two solves: the least of an interior-point step."""
    matrix = Q[:, :INEQUALITIES, :INEQUALITIES].contiguous()
    right = torch.ones(BATCH, INEQUALITIES, 1, dtype=Q.dtype)

    def work() -> object:
        factor = torch.linalg.cholesky_ex(matrix).L
        torch.cholesky_solve(right, factor)
        return torch.cholesky_solve(right, factor)

    return work


def _reduction(Q: Tensor, rows: Tensor) -> Callable[[], object]:
    """What is done once: a Cholesky factorisation of Q and one triangular solve with all constraint rows."""
    return lambda: torch.linalg.solve_triangular(torch.linalg.cholesky_ex(Q).L, rows.mT, upper=False)
